"""Cut-outs at new places, and pictures without some things."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from engine.runs.requests import ThingPlace
from engine.scenes.arrangement import arrangement
from engine.scenes.cutouts import FULL, Placing, box_of, collage, movable, painted_over
from engine.scenes.mask_ops import grow
from engine.training.composition import (
    OVERLAP,
    Composition,
    compositions,
    without_others,
)
from engine.training.pictures import Picture, cropped_pictures

SIDE = 64
RED, GREEN, BLUE = (220, 20, 20), (20, 220, 20), (20, 20, 220)
GROUNDS = {"white": (245, 245, 245), "gray": (140, 140, 140)}


def drawing(*boxes: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of one colour each on a dull ground: picture and masks."""
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    masks = np.zeros((len(boxes), SIDE, SIDE), bool)
    for mask, box, colour in zip(masks, boxes, (RED, GREEN, BLUE), strict=False):
        top, left, bottom, right = box
        mask[top:bottom, left:right] = True
        image[mask] = colour
    return image, masks


THREE = drawing((20, 2, 36, 16), (30, 24, 50, 38), (24, 46, 44, 62))


def made(
    count: int, *, plain: float = 0.5, seed: int = 0, scene=THREE, reordered: float = 0.0
) -> list[Composition]:
    image, masks = scene
    generator = torch.Generator().manual_seed(seed)
    return list(
        compositions(
            image, masks, count, plain=plain, grounds=GROUNDS, cell=4, union=True,
            generator=generator, reordered=reordered,
        )
    )  # fmt: skip


def test_every_composed_thing_is_where_its_mask_says() -> None:
    for one in made(40):
        assert one.image.shape == (SIDE, SIDE, 3)
        for index, mask in enumerate(one.masks_NHW):
            assert mask.any() == (index in one.concepts)
            if mask.any():
                colour = np.median(one.image[mask], axis=0)
                assert np.abs(colour - (RED, GREEN, BLUE)[index]).max() < 12
        assert one.masks_NHW.sum(0).max() <= 1


def test_things_change_places_sizes_and_order() -> None:
    order, widths = set(), set()
    for one in made(60):
        starts = {index: box_of(one.masks_NHW[index])[1] for index in one.concepts}
        if len(starts) == 3:
            order.add(tuple(sorted(starts, key=starts.__getitem__)))
        elif len(starts) == 1:
            (index,) = starts
            _, left, _, right = box_of(one.masks_NHW[index])
            widths.add(right - left)
    assert len(order) >= 4
    assert min(widths) >= 12 and max(widths) > 20


def kept_order(one: Composition, scene=THREE) -> list[bool]:
    """For each pair of a composition: whether it stands as in the scene."""
    before = [sum(box_of(mask)[1::2]) for mask in scene[1]]
    now = {index: sum(box_of(one.masks_NHW[index])[1::2]) for index in one.concepts}
    return [(before[i] < before[j]) == (now[i] < now[j]) for i, j in combinations(sorted(now), 2)]


def test_composed_things_stand_in_another_order_where_that_is_asked_for() -> None:
    free = [kept for one in made(60) for kept in kept_order(one)]
    assert 0.25 < np.mean(free) < 0.75
    others = [kept_order(one) for one in made(60, reordered=1.0)]
    assert {len(pairs) for pairs in others} == {0, 1, 3}
    assert all(sum(pairs) <= len(pairs) / 2 for pairs in others)
    # Of a share of them: in between.
    some = [kept for one in made(120, reordered=0.5) for kept in kept_order(one)]
    assert np.mean([kept for pairs in others for kept in pairs]) < np.mean(some) < np.mean(free)
    # What the edge cuts off stays there, whatever is asked for.
    edged = drawing((20, 0, 40, 16), (24, 40, 40, 56))
    pairs = [kept_order(one, edged) for one in made(30, scene=edged, reordered=1.0)]
    assert [True] in pairs
    assert [False] not in pairs
    # The others change places behind it.
    edged = drawing((20, 0, 36, 12), (24, 20, 40, 32), (24, 40, 40, 52))
    pairs = [kept_order(one, edged) for one in made(60, scene=edged, reordered=1.0)]
    assert [pair for pair in pairs if len(pair) == 3].count([True, True, False]) > 10
    assert [True, True, True] not in pairs


def test_things_with_little_room_are_reordered_together_as_often_as_others() -> None:
    wide = drawing((20, 1, 40, 21), (24, 22, 44, 42), (24, 43, 44, 63))
    sizes = Counter(len(one.concepts) for one in made(60, scene=wide, reordered=1.0))
    assert min(sizes[1], sizes[2], sizes[3]) >= 14


def test_boxes_hardly_overlap() -> None:
    for one in made(40):
        boxes = [box_of(one.masks_NHW[index]) for index in one.concepts]
        area = sum(int(mask.sum()) for mask in one.masks_NHW)
        full = sum((bottom - top) * (right - left) for top, left, bottom, right in boxes)
        assert area >= (1 - OVERLAP * 2) * full


def test_only_named_grounds_are_plain_and_learned() -> None:
    named = made(12, plain=1.0)
    assert {one.ground for one in named} == {"on a white background", "on a gray background"}
    for one in named:
        colour = GROUNDS["white" if "white" in one.ground else "gray"]
        assert np.abs(np.median(one.image[0], axis=0) - colour).max() <= 11
    assert {one.ground for one in made(12, plain=0.0)} == {""}


def test_equal_generators_give_equal_compositions() -> None:
    for first, second in zip(made(8, seed=3), made(8, seed=3), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        assert first.concepts == second.concepts


def test_a_thing_that_the_edge_cuts_off_stays_at_that_edge() -> None:
    scene = drawing((20, 0, 40, 16), (44, 40, 64, 56))
    for one in made(30, scene=scene):
        if 0 in one.concepts:
            assert box_of(one.masks_NHW[0])[1] == 0
        if 1 in one.concepts:
            assert box_of(one.masks_NHW[1])[2] == SIDE


def crops_beyond(
    scene: tuple[np.ndarray, np.ndarray], beyond: float, *, erase_up_to: int = 3
) -> list[Picture]:
    generator = torch.Generator().manual_seed(3)
    crops = cropped_pictures(*scene, 60, 0.75, generator, beyond=beyond, erase_up_to=erase_up_to)
    return list(crops)


def test_crops_beyond_the_picture_show_things_where_the_scene_never_has_them() -> None:
    def middles(beyond: float) -> list[float]:
        """Columns of the red thing, which stands at the left."""
        boxes = [box_of(one.masks[0]) for one in crops_beyond(THREE, beyond) if 0 in one.concepts]
        return [(left + right) / 2 for _, left, _, right in boxes]

    assert max(middles(0.0)) < SIDE / 2
    assert max(middles(0.5)) > 0.65 * SIDE
    for one in crops_beyond(THREE, 0.5):
        for index, colour in enumerate((RED, GREEN, BLUE)):
            # The ground goes on without things: no colour is where no mask of a concept is.
            there = (np.abs(one.image.astype(int) - colour) < 40).all(axis=2)
            assert there.any() == (index in one.concepts)
            assert not (there & ~grow(one.masks[index], 2)).any()


def test_crops_beyond_keep_what_the_edge_cuts_off_at_its_edge() -> None:
    for one in crops_beyond(drawing((20, 0, 40, 16), (20, 40, 40, 56)), 0.5):
        if 0 in one.concepts:
            assert one.window is not None
            assert one.window.left == 0
            assert box_of(one.masks[0])[1] == 0
    assert any(one.window.left < 0 for one in crops_beyond(THREE, 0.5) if one.window)
    assert all(one.geometry(SIDE, mirrored=False).left >= 0 for one in crops_beyond(THREE, 0.5))


def test_a_background_alone_has_no_ground_to_go_on() -> None:
    image, _ = THREE
    ((first, *_),) = [crops_beyond((image, np.ones((1, SIDE, SIDE), bool)), 0.5)]
    np.testing.assert_array_equal(first.image, image)


def test_crops_beyond_show_a_background_as_often_as_a_thing() -> None:
    image, masks = drawing((20, 10, 40, 24), (20, 40, 40, 54))
    scene = image, np.concatenate([masks, ~masks.any(axis=0, keepdims=True)])
    shown = Counter(index for one in crops_beyond(scene, 0.5) for index in one.concepts)
    assert min(shown.values()) > 0.7 * max(shown.values())
    assert any(one.concepts == (2,) for one in crops_beyond(scene, 0.5))
    assert all(2 in one.concepts for one in crops_beyond(scene, 0.5, erase_up_to=0))


@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_crops_are_erased_up_to_a_number_of_things(beyond: float) -> None:
    unnamed: dict[int, list[bool]] = {1: [], 2: [], 3: []}
    for one in crops_beyond(THREE, beyond, erase_up_to=1):
        assert one.exact
        seen = {
            index
            for index, colour in enumerate((RED, GREEN, BLUE))
            if (np.abs(one.image.astype(int) - colour) < 40).all(axis=2).any()
        }
        assert seen >= set(one.concepts)
        unnamed[len(one.concepts)].append(seen > set(one.concepts))
    assert not any(unnamed[1])
    assert any(unnamed[2])
    assert len(unnamed[1]) > 5


def test_a_background_is_neither_moved_nor_erased() -> None:
    image, masks = drawing((20, 10, 40, 30), (20, 40, 40, 60))
    masks = np.concatenate([masks, ~masks.any(axis=0, keepdims=True)])
    assert movable(masks) == (0, 1)
    assert all(2 not in one.concepts for one in made(20, scene=(image, masks)))
    np.testing.assert_array_equal(without_others(image, masks, (0, 1)), image)
    alone = np.ones((1, SIDE, SIDE), bool)
    assert made(5, scene=(image, alone)) == []


def test_things_too_large_for_each_other_are_composed_alone() -> None:
    scene = drawing((2, 2, 62, 56), (4, 8, 60, 60))
    sizes = [len(one.concepts) for one in made(10, scene=scene)]
    assert len(sizes) == 10
    for one in made(10, scene=scene):
        for index in one.concepts:
            top, left, bottom, right = box_of(one.masks_NHW[index])
            assert max(bottom - top, right - left) <= FULL * SIDE + 1


@pytest.mark.parametrize("kept", [(0,), (1, 2)])
def test_the_others_are_gone_and_the_kept_are_untouched(kept: tuple[int, ...]) -> None:
    image, masks = THREE
    erased = without_others(image, masks, kept)
    for index, mask in enumerate(masks):
        if index in kept:
            np.testing.assert_array_equal(erased[mask], image[mask])
        else:
            # The ground's grey has come in.
            assert np.abs(erased[mask].astype(int) - 90).max() < 60
            assert np.abs(np.median(erased[mask], axis=0) - 90).max() < 12
    far = np.ones((SIDE, SIDE), bool)
    far[14:56] = False
    np.testing.assert_array_equal(erased[far], image[far])


def test_nothing_to_paint_over_changes_nothing() -> None:
    image, masks = THREE
    assert painted_over(image, np.zeros_like(masks[0])) is image


def test_a_collage_has_things_where_they_are_wanted() -> None:
    image, masks = THREE
    swapped = collage(image, masks, [Placing(2, 0.2, 0.5, 0.0), Placing(0, 1.0, 0.0, 0.5)]).image
    # The third stands left, the first fills the upper right corner, the second is gone.
    assert tuple(swapped[32, 13]) == BLUE
    assert tuple(swapped[2, 62]) == RED
    red = (swapped == RED).all(axis=2)
    top, left, _, right = box_of(red)
    assert (top, right, right - left) == (0, 64, 32)
    assert not (swapped == GREEN).all(axis=2).any()
    # Too large for the picture: as large as it can be.
    full = (collage(image, masks, [Placing(1, 0.5, 0.5, 1.0)]).image == GREEN).all(axis=2)
    assert full.sum(axis=0).max() == 64


def test_things_are_arranged_side_by_side_and_their_places_are_exact_in_words() -> None:
    image, masks = THREE
    orders = set()
    for seed in range(24):
        placings = arrangement(masks, (0, 1, 2), np.random.default_rng(seed))
        assert placings == arrangement(masks, (0, 1, 2), np.random.default_rng(seed))
        for one in placings:
            place = ThingPlace(token="<a>", x=one.x, y=one.y, width=one.width)
            assert ThingPlace.parse(place.text) == place
        shown = collage(image, masks, placings)
        colours = [(shown.image == colour).all(axis=2) for colour in (RED, GREEN, BLUE)]
        assert all(colour.any() for colour in colours)
        assert (shown.things_HW >= np.logical_or.reduce(colours)).all()
        orders.add(tuple(np.argsort([np.nonzero(colour)[1].mean() for colour in colours])))
        # Less than the whole scene: only these.
        (alone,) = arrangement(masks, (1,), np.random.default_rng(seed))
        assert alone.concept == 1 and alone.width == 0
    assert len(orders) > 3
    cut = np.zeros((2, 64, 64), bool)
    cut[0, 20:40, :10], cut[1, 20:50, 30:40] = True, True
    for seed in range(8):
        placings = {
            one.concept: one for one in arrangement(cut, (0, 1), np.random.default_rng(seed))
        }
        assert placings[0].x == pytest.approx(5 / 64, abs=1e-3), "its cut stays at the edge"
        assert placings[1].x > 14 / 64
