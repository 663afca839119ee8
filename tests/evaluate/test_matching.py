"""Which region shows which concept: assignment, verdicts, order; regions and their places."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.evaluate.scorers.matching import NOWHERE, assign, judge, kept_order, max_cosine
from engine.evaluate.scorers.regions import cut, cut_mask, things

ABOVE = (0.5, 0.5, 0.5)


def test_max_cosine_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    concepts = [F.normalize(torch.randn(n, 5, generator=generator), dim=1) for n in (3, 1, 4)]
    regions = [F.normalize(torch.randn(n, 5, generator=generator), dim=1) for n in (6, 2)]
    table = max_cosine(concepts, regions)
    for i, concept in enumerate(concepts):
        for r, region in enumerate(regions):
            best = [max(float(p @ q) for q in region) for p in concept]
            assert table[i, r] == pytest.approx(sum(best) / len(best), abs=1e-6)
    assert max_cosine(concepts, [regions[0][:0]]).tolist() == [[0.0]] * 3
    # A part is found in its whole; the whole is not found in a part.
    whole = torch.eye(5)
    assert max_cosine([whole[:2]], [whole])[0, 0] == 1
    assert max_cosine([whole], [whole[:2]])[0, 0] == pytest.approx(0.4)


def test_the_assignment_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        table = rng.random((3, 4))
        best = max(
            permutations(range(4), 3),
            key=lambda order: sum(table[k, r] for k, r in enumerate(order)),
        )
        assert assign(table) == best
    few = assign(np.array([[0.9], [0.8]]))
    assert few == (0, NOWHERE)
    assert assign(np.zeros((2, 0))) == (NOWHERE, NOWHERE)


def test_each_concept_needs_a_region_of_its_own() -> None:
    # One region that is like both: only one of the two can have it.
    verdict = judge(np.array([[0.9], [0.8]]), (0, 1), ABOVE, (True,))
    assert verdict.found == (True, False)
    assert not verdict.complete and not verdict.extra and not verdict.mixed


def test_a_twin_in_the_others_place_is_a_mixture() -> None:
    twins = np.array([[0.9, 0.85], [0.3, 0.35]])
    verdict = judge(twins, (0, 1), ABOVE, (True, True))
    assert verdict.mixed and verdict.found == (True, False)
    # Halves of one thing, cut because there was no second: missing, not mixed.
    assert not judge(twins, (0, 1), ABOVE, (False, False)).mixed
    good = judge(np.array([[0.9, 0.2], [0.3, 0.8]]), (0, 1), ABOVE, (True, True))
    assert good.complete and not good.mixed and good.regions == (0, 1)


def test_a_single_picture_that_shows_another_concept_is_a_mixture() -> None:
    verdict = judge(np.array([[0.6], [0.9]]), (0,), ABOVE, (True,))
    assert verdict.mixed and verdict.found == (True,)


def test_more_things_than_asked_for_are_extra() -> None:
    table = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]])
    assert judge(table, (0, 1), ABOVE, (True, True, True)).extra
    assert judge(table[:, :2], (0,), ABOVE, (True, True)).extra
    assert not judge(table[:, :2], (0, 1), ABOVE, (True, True)).extra


def test_order_is_asked_of_every_pair_that_is_there() -> None:
    scene = [10.0, 20.0, 30.0]
    assert kept_order([1, 2, 3], scene) == (True, True, True)
    assert kept_order([3, 2, 1], scene) == (False, False, False)
    assert kept_order([2, None, 1], scene) == (False,)
    assert kept_order([None, None, 1], scene) == ()


def blocks(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_things_are_whole_regions_where_there_are_enough() -> None:
    mask = blocks((5, 5, 20, 15), (5, 30, 30, 45), (35, 0, 37, 2))
    found = things(mask, 2, least=10)
    assert [thing.whole for thing in found] == [True, True]
    assert [thing.centre for thing in found] == [37.0, 9.5]
    assert len(things(mask, 2, least=1)) == 3
    assert things(np.zeros((4, 4), bool), 2, least=1) == []


def test_touching_things_are_cut_into_strips_that_do_not_overlap() -> None:
    mask = blocks((5, 0, 20, 40), (5, 45, 20, 60))
    found = things(mask, 3, least=10)
    assert [thing.whole for thing in found] == [False, False, True]
    assert np.sum([thing.mask for thing in found], axis=0).max() == 1
    np.testing.assert_array_equal(np.logical_or.reduce([t.mask for t in found]), mask)
    assert [thing.centre for thing in found] == [9.5, 29.5, 52.0]


def test_a_cut_thing_and_its_mask_lie_alike() -> None:
    mask = blocks((5, 10, 25, 18))
    picture = np.full((40, 60, 3), 200, np.uint8)
    picture[mask] = (255, 0, 0)
    thing, inside = cut(picture, mask, 64), cut_mask(mask, 64)
    red = thing[..., 1] < 64
    assert (red == inside).mean() > 0.97
