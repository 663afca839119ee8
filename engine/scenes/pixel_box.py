"""Boxes of pixels: half-open, in image coordinates, x to the right and y downwards."""

from __future__ import annotations

import math
from typing import NamedTuple


class Box(NamedTuple):
    """Pixels with `x0 <= x < x1` and `y0 <= y < y1`."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.x0 >= self.x1 or self.y0 >= self.y1

    @property
    def width(self) -> int:
        return max(0, self.x1 - self.x0)

    @property
    def height(self) -> int:
        return max(0, self.y1 - self.y0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of an HxW array: `mask[box.slices]`."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def union(self, other: Box) -> Box:
        """The smallest box around both; an empty box adds nothing."""
        if self.empty:
            return other
        if other.empty:
            return self
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def clip(self, width: int, height: int) -> Box:
        """The part inside a picture of that size; `EMPTY` where nothing is left."""
        box = Box(max(0, self.x0), max(0, self.y0), min(width, self.x1), min(height, self.y1))
        return EMPTY if box.empty else box


EMPTY = Box(0, 0, 0, 0)


class Point(NamedTuple):
    """A place in the picture; the pixel in column 3 covers `3 <= x < 4`, its centre is 3.5."""

    x: float
    y: float


def stroke_box(start: Point, end: Point, radius: float) -> Box:
    """The pixels a round brush of that radius can touch between two points, unclipped."""
    return Box(
        math.floor(min(start.x, end.x) - radius),
        math.floor(min(start.y, end.y) - radius),
        math.ceil(max(start.x, end.x) + radius),
        math.ceil(max(start.y, end.y) + radius),
    )


def corners_box(first: Point, second: Point) -> Box:
    """The pixels between two opposite corners, both corner pixels inside."""
    return Box(
        math.floor(min(first.x, second.x)),
        math.floor(min(first.y, second.y)),
        math.floor(max(first.x, second.x)) + 1,
        math.floor(max(first.y, second.y)) + 1,
    )
