"""The mask operations against loops written from their descriptions."""

from __future__ import annotations

import numpy as np
import pytest

from engine.scenes import mask_ops
from engine.scenes.pixel_box import EMPTY, Box, Point, corners_box

RNG = np.random.default_rng(7)


def blobs(height: int = 23, width: int = 31, share: float = 0.55) -> mask_ops.Mask:
    """A random mask with pieces, holes and pixels on every edge."""
    return RNG.random((height, width)) < share


def naive_stroke(shape: tuple[int, int], start: Point, end: Point, radius: float) -> mask_ops.Mask:
    mask = np.zeros(shape, bool)
    for y in range(shape[0]):
        for x in range(shape[1]):
            px, py = x + 0.5, y + 0.5
            dx, dy = end.x - start.x, end.y - start.y
            length = dx * dx + dy * dy
            t = 0.0 if length == 0 else ((px - start.x) * dx + (py - start.y) * dy) / length
            t = min(1.0, max(0.0, t))
            gap = (px - start.x - t * dx) ** 2 + (py - start.y - t * dy) ** 2
            mask[y, x] = gap <= radius * radius
    if 0 <= end.x < shape[1] and 0 <= end.y < shape[0]:
        mask[int(end.y), int(end.x)] = True
    return mask


def naive_region(
    allowed: mask_ops.Mask, seed: tuple[int, int], neighbours: list[tuple[int, int]]
) -> mask_ops.Mask:
    found, todo = np.zeros_like(allowed), [seed]
    while todo:
        x, y = todo.pop()
        if not (0 <= y < allowed.shape[0] and 0 <= x < allowed.shape[1]):
            continue
        if found[y, x] or not allowed[y, x]:
            continue
        found[y, x] = True
        todo += [(x + dx, y + dy) for dx, dy in neighbours]
    return found


FOUR = [(1, 0), (-1, 0), (0, 1), (0, -1)]
EIGHT = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5, 6.0])
def test_stroke_equals_the_distance_to_the_segment(radius: float) -> None:
    for start, end in [
        (Point(4.2, 5.1), Point(20.7, 17.9)),
        (Point(10.5, 10.5), Point(10.5, 10.5)),
        (Point(-6.0, 3.0), Point(40.0, 9.0)),
        (Point(25.0, 30.0), Point(2.0, -4.0)),
    ]:
        mask = np.zeros((24, 32), bool)
        box = mask_ops.draw_stroke(mask, start, end, radius, True)
        assert np.array_equal(mask, naive_stroke(mask.shape, start, end, radius))
        outside = mask.copy()
        outside[box.slices] = False
        assert not outside.any()


def test_erasing_takes_away_what_painting_adds() -> None:
    mask = np.ones((24, 32), bool)
    mask_ops.draw_stroke(mask, Point(5, 5), Point(20, 15), 3.0, False)
    assert np.array_equal(~mask, naive_stroke(mask.shape, Point(5, 5), Point(20, 15), 3.0))


def test_a_stroke_beside_the_picture_changes_nothing() -> None:
    mask = np.zeros((10, 10), bool)
    assert mask_ops.draw_stroke(mask, Point(-9, -9), Point(-5, -7), 2.0, True) == EMPTY
    assert not mask.any()


@pytest.mark.parametrize("tolerance", [0, 20, 90])
def test_flood_is_the_connected_region_of_the_seed_colour(tolerance: int) -> None:
    image = RNG.integers(0, 4, (23, 31, 3)).astype(np.uint8) * 40
    image[5:15, 5:20] = 80
    seed = (8, 8)
    near = np.abs(image.astype(int) - image[8, 8].astype(int)).max(axis=2) <= tolerance
    assert np.array_equal(mask_ops.flood(image, seed, tolerance), naive_region(near, seed, FOUR))


@pytest.mark.parametrize("pixels", [1, 3])
def test_grow_and_shrink_are_distances_to_the_mask(pixels: int) -> None:
    mask = np.zeros((23, 31), bool)
    mask[0:9, 3:14] = mask[12:23, 20:31] = True
    mask[16, 24] = False
    grown, shrunk = np.zeros_like(mask), np.zeros_like(mask)
    for y in range(23):
        for x in range(31):
            ball = [
                mask[v, u]
                for v in range(23)
                for u in range(31)
                if (v - y) ** 2 + (u - x) ** 2 <= pixels * pixels
            ]
            grown[y, x], shrunk[y, x] = any(ball), all(ball)
    assert np.array_equal(mask_ops.grow(mask, pixels), grown)
    assert np.array_equal(mask_ops.shrink(mask, pixels), shrunk)


def test_fill_holes_keeps_only_what_reaches_the_edge_open() -> None:
    for _ in range(10):
        mask = blobs()
        open_ = np.zeros_like(mask)
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                if y in (0, mask.shape[0] - 1) or x in (0, mask.shape[1] - 1):
                    open_ |= naive_region(~mask, (x, y), FOUR)
        assert np.array_equal(mask_ops.fill_holes(mask), ~open_)


def test_keep_largest_is_the_biggest_of_the_connected_pieces() -> None:
    for _ in range(10):
        mask = blobs(share=0.3)
        rest, pieces = mask.copy(), []
        while rest.any():
            y, x = np.argwhere(rest)[0]
            pieces.append(naive_region(mask, (int(x), int(y)), EIGHT))
            rest &= ~pieces[-1]
        kept = mask_ops.keep_largest(mask)
        assert kept.sum() == max(piece.sum() for piece in pieces)
        assert any(np.array_equal(kept, piece) for piece in pieces)
    assert not mask_ops.keep_largest(np.zeros((5, 5), bool)).any()


def test_boxes_clip_and_hold_both_corners() -> None:
    assert corners_box(Point(7.9, 2.1), Point(3.0, 6.5)) == Box(3, 2, 8, 7)
    assert Box(-4, -4, 3, 50).clip(10, 10) == Box(0, 0, 3, 10)
    assert Box(12, 0, 15, 5).clip(10, 10) == EMPTY
    assert Box(1, 1, 2, 2).union(EMPTY) == Box(1, 1, 2, 2)
