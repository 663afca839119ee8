"""Where things are in a picture: candidate regions of a foreground map, and their crops.

Shapes: H and W pixels. No torch here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engine.evaluate.scorers.base import Pixels
from engine.scenes.mask_ops import mask_box

Mask = npt.NDArray[np.bool_]

LEAST_SHARE = 0.015
"""A region below this share of the picture is no thing."""
MOST_REGIONS = 3
LONG = 1.3
"""A region this much longer than wide may hold two things that touch: its halves count too."""
MARGIN = 1.1
GREY = 128


def candidates(foreground: Mask) -> list[Mask]:
    """Regions that may be one thing: large connected regions, and the halves of long ones."""
    smooth = cv2.medianBlur(foreground.astype(np.uint8), 5)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(smooth, connectivity=4)
    least = LEAST_SHARE * foreground.size
    order = sorted(range(1, count), key=lambda k: -int(statistics[k, cv2.CC_STAT_AREA]))
    found: list[Mask] = []
    for label in order[:MOST_REGIONS]:
        if statistics[label, cv2.CC_STAT_AREA] < least:
            break
        region: Mask = labels == label
        found.append(region)
        left, top, wide, high = (int(value) for value in statistics[label, :4])
        first, second = region.copy(), region.copy()
        if wide > LONG * high:
            middle = left + wide // 2
            first[:, middle:] = False
            second[:, :middle] = False
        elif high > LONG * wide:
            middle = top + high // 2
            first[middle:] = False
            second[:middle] = False
        else:
            continue
        found += [half for half in (first, second) if half.sum() >= least]
    return found


class Thing(NamedTuple):
    """A region that may be one thing; things of one picture do not overlap."""

    mask: Mask
    whole: bool
    """False for a strip of a region that had to be cut (see `things`)."""

    @property
    def centre(self) -> float:
        """Mean column in pixels."""
        return float(np.flatnonzero(self.mask.any(0)).mean())


def things(foreground: Mask, count: int, *, least: float, share: float = 0.0) -> list[Thing]:
    """The connected regions of a foreground map, large first, as places for `count` things.

    Regions below `least` pixels, or below `share` of the largest, do not count. Where there are
    fewer than `count`, because some touch, the widest are cut into upright strips of equal width:
    an assignment needs a place for each. An empty map has no things.
    """
    number, labels, statistics, _ = cv2.connectedComponentsWithStats(
        foreground.astype(np.uint8), connectivity=4
    )
    areas = {k: int(statistics[k, cv2.CC_STAT_AREA]) for k in range(1, number)}
    largest = max(areas.values(), default=0)
    kept = sorted(
        (k for k, area in areas.items() if area >= max(least, share * largest)),
        key=lambda k: -areas[k],
    )
    found = [Thing(np.asarray(labels == label), True) for label in kept]
    if not found or len(found) >= count:
        return found
    return _cut_widest(found, count)


def _cut_widest(found: list[Thing], count: int) -> list[Thing]:
    """Strips of the widest regions, so that there are `count` in all."""
    shares = [1] * len(found)
    widths = [int(thing.mask.any(0).sum()) for thing in found]
    while sum(shares) < count:
        widest = max(range(len(found)), key=lambda k: widths[k] / shares[k])
        shares[widest] += 1
    strips: list[Thing] = []
    for thing, parts in zip(found, shares, strict=True):
        if parts == 1:
            strips.append(thing)
            continue
        columns = np.flatnonzero(thing.mask.any(0))
        edges = np.linspace(columns[0], columns[-1] + 1, parts + 1).round().astype(int)
        for low, high in pairwise(edges):
            strip = np.zeros_like(thing.mask)
            strip[:, low:high] = thing.mask[:, low:high]
            if strip.any():
                strips.append(Thing(strip, False))
    return strips


def cut(pixels: Pixels, mask: Mask, side: int) -> Pixels:
    """The masked thing alone on grey, in a square with a small margin, `side` pixels wide."""
    canvas = _in_square(np.where(mask[:, :, None], pixels, GREY).astype(np.uint8), mask, GREY)
    return _scaled(canvas, side)


def cut_mask(mask: Mask, side: int) -> Mask:
    """Where the thing is in the picture that `cut` makes of it."""
    canvas = _in_square(mask.astype(np.uint8) * 255, mask, 0)
    return np.asarray(_scaled(canvas, side) > 127)


def _in_square(pixels: Pixels, mask: Mask, around: int) -> Pixels:
    """The mask's box of `pixels` in the middle of a square with a small margin."""
    box = mask_box(mask)
    size = int(max(box.height, box.width) * MARGIN) + 2
    canvas = np.full((size, size, *pixels.shape[2:]), around, np.uint8)
    y, x = (size - box.height) // 2, (size - box.width) // 2
    canvas[y : y + box.height, x : x + box.width] = pixels[box.slices]
    return canvas


def _scaled(canvas: Pixels, side: int) -> Pixels:
    scaling = cv2.INTER_AREA if len(canvas) > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=scaling), np.uint8)
