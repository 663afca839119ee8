"""Where a run's things stand on the placing canvas, and what stood where before.

Shape legend: N things, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from engine.runs.requests import LOOSE
from engine.scenes.arrangement import arrangement
from engine.scenes.cutouts import Masks, box_of, movable


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a thing stands, in percent of the picture, to a tenth."""

    x: float
    y: float
    width: float = 0.0
    """0: as in the scene."""
    out: bool = False


class Layout(NamedTuple):
    """What stands where by the thing's number, the last in front, and how freely it is redrawn."""

    spots: Mapping[int, Spot]
    loose: float = LOOSE

    def same(self, other: Layout) -> bool:
        """Whether nothing would be seen of a step from one to the other."""
        mine, theirs = (list(one.spots.items()) for one in (self, other))
        return mine == theirs and self.loose == other.loose


def tenth(share: float) -> float:
    """A share of the side in percent, as a `Spot` has it."""
    return round(100 * share, 1)


def as_in_scene(masks_NHW: Masks) -> dict[int, Spot]:
    """All things at their own places."""
    side, found = masks_NHW.shape[1], {}
    for index, mask in enumerate(masks_NHW):
        top, left, bottom, right = box_of(mask)
        found[index] = Spot(
            x=tenth((left + right) / 2 / side), y=tenth((top + bottom) / 2 / side)
        )  # fmt: skip
    return found


def shuffled(
    spots: Mapping[int, Spot], masks_NHW: Masks, rng: np.random.Generator
) -> dict[int, Spot]:
    """The things that are not left out at places of chance, as `bas gen --arrange` has them."""
    able = movable(masks_NHW)
    shown = [index for index, spot in spots.items() if not spot.out and index in able]
    found = dict(spots)
    for one in arrangement(masks_NHW, shown, rng) if shown else ():
        # Taken out and put back: the last one stands in front.
        spot = found.pop(one.concept)
        found[one.concept] = replace(
            spot, x=tenth(one.x), y=tenth(one.y), width=tenth(one.width)
        )  # fmt: skip
    return found


class LayoutHistory:
    """The layout of now; undo and redo without limit."""

    def __init__(self, first: Layout) -> None:
        self.now = first
        self._done: list[Layout] = []
        self._undone: list[Layout] = []
        self._kind: object = None

    def put(self, layout: Layout, kind: object = None) -> None:
        """Another layout; changes of one kind in a row, other than None, are one step."""
        if layout.same(self.now):
            return
        if kind is None or kind != self._kind:
            self._done.append(self.now)
        self.now, self._kind = layout, kind
        self._undone.clear()

    def undo(self) -> bool:
        """One step back; whether there was one."""
        return self._step(self._done, self._undone)

    def redo(self) -> bool:
        """One step forth; whether there was one."""
        return self._step(self._undone, self._done)

    def _step(self, source: list[Layout], target: list[Layout]) -> bool:
        if not source:
            return False
        target.append(self.now)
        self.now, self._kind = source.pop(), None
        return True
