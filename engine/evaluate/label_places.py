"""Places for the names of points that lie close together. No matplotlib here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

DIRECTIONS = 16
DISTANCES = 24
STEP = 6.0
"""Between two distances from the point, in the unit of the boxes."""
FORBIDDEN = 1e4
"""Cost of covering a point or another name, or of leaving the frame: only where nothing is free."""
CROSSING = 150.0
"""Cost of a name on another name's leader line: worth some distance."""
LINE = 10.0
"""Cost of a name on a line of the plot."""


class Box(NamedTuple):
    """A rectangle; `left` < `right`, `bottom` < `top`."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def overlaps(self, other: Box) -> bool:
        """Whether they share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def inside(self, frame: Box) -> bool:
        """Whether it lies in the frame as a whole."""
        return (
            self.left >= frame.left
            and self.right <= frame.right
            and self.bottom >= frame.bottom
            and self.top <= frame.top
        )


class Place(NamedTuple):
    """Where a name stands."""

    box: Box
    away: bool
    """Farther from its point than the nearest ring: it needs a leader line."""


def place_labels(
    points: Sequence[Box],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    lines: Sequence[Box] = (),
) -> list[Place]:
    """A place for the name of each point, as near as is free.

    `points` are the boxes of the markers, `sizes` widths and heights of the names. Names cover
    neither points nor each other and stay in the frame while there is room; `lines` they avoid.
    """
    places: list[Place] = []
    for point, size in zip(points, sizes, strict=True):
        choices = _choices(point, size)
        costs = [_cost(choice, point, points, places, frame, lines) + d for choice, d in choices]
        best = min(range(len(choices)), key=costs.__getitem__)
        choice, distance = choices[best]
        places.append(Place(choice, distance > 0))
    return places


def _choices(point: Box, size: tuple[float, float]) -> list[tuple[Box, float]]:
    """Boxes around a point, the nearest first, each with its distance."""
    x, y = point.centre
    width, height = size
    # Right and upwards first, where a reader looks for a name.
    turns = [2 * math.pi * k / DIRECTIONS for k in range(DIRECTIONS)]
    # Around a rectangle, so that a name fits into the corner between two error bars.
    ways = [(math.cos(turn), math.sin(turn)) for turn in turns]
    ways = [(c / max(abs(c), abs(s)), s / max(abs(c), abs(s))) for c, s in ways]
    choices: list[tuple[Box, float]] = []
    for ring in range(DISTANCES):
        distance = ring * STEP
        for to_right, upwards in ways:
            across = (point.right - point.left + width) / 2 + distance
            along = (point.top - point.bottom + height) / 2 + distance
            cx, cy = x + across * to_right, y + along * upwards
            box = Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
            choices.append((box, distance))
    return choices


def _cost(
    box: Box,
    point: Box,
    points: Sequence[Box],
    places: Sequence[Place],
    frame: Box,
    lines: Sequence[Box],
) -> float:
    cost = 0.0 if box.inside(frame) else FORBIDDEN
    cost += FORBIDDEN * sum(box.overlaps(other) for other in points)
    cost += FORBIDDEN * sum(box.overlaps(place.box) for place in places)
    cost += LINE * sum(box.overlaps(line) for line in lines)
    leader = _leader(point, box)
    cost += CROSSING * sum(_hits(leader, place.box) for place in places)
    for other, place in zip(points, places, strict=False):
        cost += CROSSING * (place.away and _hits(_leader(other, place.box), box))
    return cost


def _leader(point: Box, box: Box) -> list[tuple[float, float]]:
    """Points on the line from a point to its name."""
    (x, y), (u, v) = point.centre, box.centre
    return [(x + (u - x) * k / 24, y + (v - y) * k / 24) for k in range(25)]


def _hits(line: Sequence[tuple[float, float]], box: Box) -> bool:
    return any(box.left < x < box.right and box.bottom < y < box.top for x, y in line)
