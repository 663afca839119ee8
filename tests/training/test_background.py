"""The background as a concept: its mask, its prompts, its part in sampling and losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.families.stable_diffusion import StableDiffusion
from engine.results.previews import preview_prompts
from engine.runs.events import PreviewSaved, StepDone
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, background_of, write_manifest
from engine.runs.prompts import all_together
from engine.scenes.background import with_background
from engine.scenes.checks import SceneConcept, check_scene
from engine.scenes.scene import Scene
from engine.training.batches import Prompts, draw_batch
from engine.training.loop import train
from engine.training.preparation import add_concept_tokens, encode_scene
from tests.engine_fixtures import FAST

NAMES = ("teapot", "penguin", "background")
ENTRIES = [
    ConceptEntry(token=f"<asset{index}>", name=name, initializer="")
    for index, name in enumerate(NAMES)
]


def test_its_mask_keeps_away_from_the_things(scene: Scene) -> None:
    whole = with_background(scene, 8)
    assert whole.names == NAMES
    things = np.logical_or.reduce([concept.mask for concept in scene.concepts])
    own = whole.concepts[-1].mask
    assert not (own & things).any()
    cells = things.reshape(8, 8, 8, 8).any(axis=(1, 3))
    for row, column in np.argwhere(cells):
        around = np.s_[
            max(0, row - 1) * 8 : (row + 2) * 8, max(0, column - 1) * 8 : (column + 2) * 8
        ]
        assert not own[around].any()
    assert own.any()
    assert check_scene((64, 64), whole.concepts) == []
    assert with_background(whole, 8) is whole
    full = Scene(image=scene.image, concepts=(SceneConcept("all", np.ones((64, 64), bool)),))
    with pytest.raises(UserError, match="leave 0% of the picture"):
        with_background(full, 8)


def test_it_is_named_with_at_and_sampled_like_the_others(
    scene: Scene, fresh_family: Callable[[], StableDiffusion]
) -> None:
    family, config = fresh_family(), build_config({"data.crop": 0.0})
    whole = with_background(scene, 32)
    add_concept_tokens(family, config, ["", "", ""], background=True)
    tokens = [entry.token for entry in ENTRIES]
    prompts = Prompts(family, "a photo of", tokens, background=background_of(ENTRIES))
    assert prompts.text((2, 1, 0)) == "a photo of <asset1> and <asset0> at <asset2>"
    assert prompts.text((2,)) == "a photo of <asset2>"
    assert prompts.text((1, 0)) == "a photo of <asset1> and <asset0>"
    grammar = config.grammar
    assert (
        all_together(ENTRIES[::-1], grammar, by_name=True)
        == "<penguin> and <teapot> at <background>"
    )
    assert preview_prompts("a photo of", tokens, grammar, background=2)[2:] == [
        "a photo of <asset2>", "a photo of <asset0> and <asset1> at <asset2>",
    ]  # fmt: skip
    encoding = encode_scene(family, whole, config.data, grid=8, seed=0)
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            pictures = end.value
            break
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        batch, (row,) = draw_batch(
            pictures, prompts, family.noise, generator, size=1, crop=0, flip=0, union=True
        )
        seen.add(frozenset(row.concepts))
        mask_HW = batch.union_masks_B1HW[0, 0]
        masks = pictures.scene.plain.latent_masks_NHW[list(row.concepts)]
        assert (mask_HW == masks.amax(0)).all()
        text = prompts.text(row.concepts)
        assert (" at " in text) == (2 in row.concepts and len(row.concepts) > 1)
        # Its map is compared with its own mask, where its token stands.
        slot = row.concepts.index(2) if 2 in row.concepts else None
        if slot is not None:
            ids = batch.input_ids_BEL[0, 0]
            assert ids[batch.columns_BK[0, slot]] == prompts.token_ids_N[2]
            assert (batch.token_masks_BKQ[0, slot] == pictures.scene.plain.grid_masks_NQ[2]).all()
    assert len(seen) == 7


def test_a_run_learns_it(
    scene: Scene, fresh_family: Callable[[], StableDiffusion], tmp_path: Path
) -> None:
    settings = FAST | {
        "phase1.steps": 1, "phase2.steps": 1, "loss.prior_weight": 0, "preview.every": 2,
        "data.compose": 0.5, "data.compositions": 2, "data.variants": 2, "data.erase": True,
        "data.grounds": "red=#ff0000",
    }  # fmt: skip
    run = RunDir(tmp_path / "runs" / "ground")
    write_manifest(
        run,
        Manifest(
            name="ground", created=1.0, base="tiny", scene_source="", concepts=tuple(ENTRIES),
            settings=settings,
        ),
    )  # fmt: skip
    events = list(
        train(
            fresh_family(), with_background(scene, 32), build_config(settings), run=run, base="tiny"
        )
    )
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    prompt = next(event.prompt for event in events if isinstance(event, PreviewSaved))
    assert prompt.endswith("a photo of <asset0> and <asset1> at <asset2>")
