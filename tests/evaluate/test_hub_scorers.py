"""CLIP, DINO and MaskFormer scorers, loaded as from the hub: folders of tiny random models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.errors import UserError
from engine.evaluate.scorers.base import SceneView, Shot
from engine.evaluate.scorers.clip import ClipPrompt
from engine.evaluate.scorers.dino import DinoIdentity, masked
from engine.evaluate.scorers.registry import HUB_MODELS, load_scorer
from engine.evaluate.scorers.segmenter import Segmenter, label_key
from tests.evaluate.conftest import make_scene
from tests.evaluate.tiny_models import LABELS

CPU = torch.device("cpu")


def view(words: tuple[str, ...] = ("teapot", "toy bear")) -> SceneView:
    scene = make_scene(0)
    masks = np.stack([concept.mask for concept in scene.concepts])
    return SceneView(image=scene.image, masks=masks, words=words)


def shots(count: int = 3) -> list[Shot]:
    return [
        Shot(picture=make_scene(seed).image, subset=(0, 1), prompt=prompt, place="")
        for seed, prompt in zip(
            range(count), ("a photo of teapot in the snow", "a cat", "a dog at the beach"),
            strict=False,
        )
    ]  # fmt: skip


def test_clip_gives_the_cosine_of_picture_and_text(hub_models: dict[str, str]) -> None:
    scorer = ClipPrompt(hub_models["clip"], CPU)
    answers = scorer.measure(view(), shots())
    values = [answer[0].value for answer in answers]
    assert all(-1 <= value <= 1 for value in values)
    assert len(set(values)) == 3
    # Padding to the longest prompt of the batch must not change a shorter one.
    alone = [scorer.measure(view(), [one])[0][0].value for one in shots()]
    assert values == pytest.approx(alone, abs=1e-5)
    again = ClipPrompt(hub_models["clip"], CPU)
    assert again.version == scorer.version
    assert again.measure(view(), shots()) == answers


class FixedSegmenter(Segmenter):
    """Finds what the test says; the network is the real one, but its random masks are noise."""

    found: dict[int, np.ndarray]

    def segments(self, picture: np.ndarray) -> dict[int, np.ndarray]:
        assert picture.shape == (64, 64, 3)
        return self.found


def test_dino_compares_the_masked_things(hub_models: dict[str, str]) -> None:
    segmenter = FixedSegmenter(hub_models["maskformer"], CPU)
    scorer = DinoIdentity(hub_models["dino"], segmenter, CPU)
    scene = view()
    same = Shot(picture=scene.image, subset=(0, 1), prompt="", place="")
    segmenter.found = {0: scene.masks[0], 1: scene.masks[1]}
    (answer,) = scorer.measure(scene, [same])
    assert [m.value for m in answer] == pytest.approx([1.0, 1.0], abs=1e-5)
    # The other thing in its place is less alike; a thing that is not there is said so.
    segmenter.found = {0: scene.masks[1]}
    (answer,) = scorer.measure(scene, [same])
    assert answer[0].found
    assert answer[0].value < 0.9999
    assert (answer[1].value, answer[1].found) == (0.0, False)


def test_the_segmenter_names_disjoint_segments(hub_models: dict[str, str]) -> None:
    segmenter = Segmenter(hub_models["maskformer"], CPU)
    assert segmenter.label_of("Toy_Bear") == 1
    assert segmenter.label_of("dining table") == 2
    with pytest.raises(UserError, match="no class 'dragon'"):
        segmenter.label_of("dragon")
    found = segmenter.segments(make_scene(2).image)
    assert set(found) <= set(LABELS)
    total = np.zeros((64, 64), int)
    for mask in found.values():
        assert mask.shape == (64, 64)
        total += mask
    assert total.max(initial=0) <= 1
    assert label_key("floor-other-merged") == "floor"


def test_scorers_load_from_the_given_sources(hub_models: dict[str, str]) -> None:
    scorer = load_scorer("dino", hub_models, CPU)
    answers = scorer.measure(view(), shots(1))
    assert [m.concept for m in answers[0]] == [0, 1]
    assert load_scorer("clip", hub_models, CPU).name == "clip"
    assert all(model.licence for model in HUB_MODELS.values())


def test_a_model_that_is_not_there_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot load"):
        load_scorer("clip", {"clip": str(tmp_path)}, CPU)
    with pytest.raises(UserError, match="no scorer 'ssim'"):
        load_scorer("ssim", {}, CPU)


def test_masked_is_black_outside() -> None:
    picture = np.full((4, 4, 3), 7, np.uint8)
    mask = np.eye(4, dtype=bool)
    assert (masked(picture, mask).sum((0, 1)) == 28).all()
