"""The segmenter that comes with the package, on pictures whose true masks are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import engine
from engine.core.errors import UserError
from engine.scenes.mask_ops import difference_box
from engine.scenes.pixel_box import Point
from engine.scenes.scene import load_scene
from engine.segments.candidates import distinct, iou, tidy
from engine.segments.contract import Candidate, Click
from engine.segments.embedded import Embedded
from engine.segments.measure import deepest

SCENE = Path(engine.__file__).parent / "pocket" / "scenes" / "teapot_penguin"


def test_clicks_and_boxes() -> None:
    scene = load_scene(SCENE)
    read = Embedded().read(scene.image)
    (_, teapot), (_, penguin) = scene.concepts
    found = read.at([Click(deepest(teapot))])
    assert max(iou(candidate.mask, teapot) for candidate in found) > 0.8
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    for k, candidate in enumerate(found):
        assert all(iou(candidate.mask, other.mask) < 0.9 for other in found[:k])
    # A click that takes away is never inside.
    refined = read.at([Click(deepest(teapot)), Click(deepest(penguin), adds=False)])
    at = deepest(penguin)
    assert max(iou(candidate.mask, teapot) for candidate in refined) > 0.8
    assert not any(candidate.mask[int(at.y), int(at.x)] for candidate in refined)
    box = difference_box(np.zeros_like(penguin), penguin)
    boxed = read.at(box=box)
    assert max(iou(candidate.mask, penguin) for candidate in boxed) > 0.8
    assert len({candidate.source for candidate in boxed}) == len(boxed)


def test_what_cannot_be_answered_is_said() -> None:
    read = Embedded().read(np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(UserError, match="nothing says where"):
        read.at([Click(Point(5, 5), adds=False)])
    with pytest.raises(UserError, match="nothing says where"):
        read.at([Click(Point(500, 5))])
    with pytest.raises(UserError, match="no words") as refusal:
        read.named("teapot")
    assert "box" in refusal.value.remedy


def test_everything_reports_and_can_be_ended() -> None:
    scene = load_scene(SCENE)
    read = Embedded().read(scene.image)

    def stop(done: int, total: int) -> None:
        assert total > 20
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read.everything(stop)


def test_tidying() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[5:30, 5:30] = True
    mask[15:18, 15:18] = False
    mask[33:38, 33:38] = True
    kept = tidy(mask)
    assert kept[16, 16] and not kept[35, 35] and tidy(mask, pieces=True)[35, 35]
    again = distinct([Candidate(mask, 1, "a"), Candidate(kept, 0.5, "b")])
    assert [candidate.source for candidate in again] == ["a"]
    assert not distinct([Candidate(mask, 1, "a")], taken=[mask])
