"""Start words found by the diffusion loss itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.nouns import NOUNS
from engine.core.settings import build_config
from engine.families.stable_diffusion import StableDiffusion
from engine.families.tokens import asset_token
from engine.runs.events import Event, Notice, Progress, RunEnded, RunStarted
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest, write_manifest
from engine.scenes.scene import Scene
from engine.training import start_words
from engine.training.loop import train
from engine.training.pictures import Picture, encode_picture
from engine.training.start_words import LEVELS, find_words, nouns_of, with_words, word_notice
from tests.engine_fixtures import FAST

Load = Callable[[], StableDiffusion]
WORDS = ("cat", "dog", "bear", "bowl", "stone", "snow", "street", "toy", "creature", "thing")


def search(family: StableDiffusion, scene: Scene, nouns: tuple[str, ...] = WORDS):
    work = find_words(family, scene, nouns, grid=16, opening="a photo of", seed=3, precision="fp32")
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_the_order_is_that_of_the_masked_losses(fresh_family: Load, scene: Scene) -> None:
    """Against a loop written from the formula, one noun and one concept at a time."""
    family = fresh_family()
    masks = np.stack([concept.mask for concept in scene.concepts])
    picture = encode_picture(family, Picture(scene.image, masks, (0, 1)), 16, mirror=False).plain
    generator = start_words.stream(3, "start words")
    losses = torch.zeros(len(WORDS), 2)
    for share in LEVELS:
        noise = torch.randn(1, *picture.mean_CHW.shape, generator=generator)
        level = torch.tensor([int(share * 1000)])
        given = picture.mean_CHW[None], noise, level
        for row, word in enumerate(WORDS):
            ids = family.text.tokenize([f"a photo of a {word}"])
            geometry = torch.tensor([picture.geometry], dtype=torch.float32)
            with torch.no_grad():
                predicted = family.predict(
                    family.noise.add(*given), level, family.text.encode(ids), geometry
                )
            error = ((predicted - family.noise.target(*given)) ** 2).mean(1)[0]
            for concept, mask in enumerate(picture.latent_masks_NHW):
                losses[row, concept] += error[mask > 0].mean()
    for concept, found in enumerate(search(family, scene)):
        expected = [WORDS[row] for row in losses[:, concept].argsort().tolist()]
        assert list(found) == expected


def test_only_finalists_meet_every_draw(
    fresh_family: Load, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_words, "FINALISTS", 2)
    first, second = search(fresh_family(), scene)
    assert set(first) == set(second)
    assert 2 <= len(first) <= 4


def entries(*initializers: str) -> tuple[ConceptEntry, ...]:
    return tuple(
        ConceptEntry(token=asset_token(k), name=f"thing{k}", initializer=word)
        for k, word in enumerate(initializers)
    )


def test_no_two_concepts_get_the_same_word() -> None:
    found = (("cat", "dog", "bear"), ("cat", "dog"), ("cat", "bear"))
    assert [c.initializer for c in with_words(entries("", "", ""), found)] == ["cat", "dog", "bear"]
    # A person's own word stays, and is nobody else's.
    assert [c.initializer for c in with_words(entries("", "cat", ""), found)] == [
        "dog", "cat", "bear",
    ]  # fmt: skip
    assert word_notice(entries("dog")[0], found[0]) == (
        "thing0 starts as 'dog'; near it: cat, bear (choose with --init thing0=WORD)"
    )


def test_candidates() -> None:
    assert nouns_of("polar bear, cat,") == ("polar bear", "cat")
    assert nouns_of("") == NOUNS
    assert len(set(NOUNS)) == len(NOUNS) and 250 < len(NOUNS) < 400


def started(run: RunDir, family: StableDiffusion, scene: Scene, **settings: object) -> list[Event]:
    config = build_config(
        FAST,
        {"phase1.steps": 1, "phase2.steps": 1, "initializer_search": True},
        {"initializer_nouns": ",".join(WORDS), "loss.prior_weight": 0.0, **settings},
    )
    manifest = read_manifest(run)
    words = [concept.initializer for concept in manifest.concepts]
    return list(train(family, scene, config, initializers=words, run=run))


def test_a_run_finds_tells_and_keeps_its_words(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    manifest = Manifest(
        name="run", created=0.0, base="tiny", scene_source="", settings={},
        concepts=(
            ConceptEntry(token="<asset0>", name="teapot", initializer=""),
            ConceptEntry(token="<asset1>", name="penguin", initializer="creature"),
        ),
    )  # fmt: skip
    write_manifest(run, manifest)
    family = fresh_family()
    expected = search(fresh_family(), scene)[0]
    events = started(run, family, scene, seed=3, **{"prompt_nouns": True})
    assert isinstance(events[-1], RunEnded) and events[-1].outcome == "finished"
    begun = next(event for event in events if isinstance(event, RunStarted))
    word = next(noun for noun in expected if noun != "creature")
    assert [concept.initializer for concept in begun.concepts] == [word, "creature"]
    assert any(isinstance(e, Notice) and f"starts as {word!r}" in e.message for e in events)
    assert [c.initializer for c in read_manifest(run).concepts] == [word, "creature"]
    # Goes on from its checkpoint without looking again.
    again = started(run, fresh_family(), scene, seed=3)
    assert not any(isinstance(e, Progress) and e.stage == "words" for e in again)
