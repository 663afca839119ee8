"""Where things are in a picture: candidate regions of a foreground map, and their crops.

Shapes: H and W pixels. No torch here.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engine.evaluate.scorers.base import Pixels

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


def cut(pixels: Pixels, mask: Mask, side: int) -> Pixels:
    """The masked thing alone on grey, in a square with a small margin, `side` pixels wide."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    size = int(max(bottom - top, right - left) * MARGIN) + 2
    canvas = np.full((size, size, 3), GREY, np.uint8)
    y, x = (size - (bottom - top)) // 2, (size - (right - left)) // 2
    inside = mask[top:bottom, left:right, None]
    window = pixels[top:bottom, left:right]
    canvas[y : y + bottom - top, x : x + right - left] = np.where(inside, window, GREY)
    scaling = cv2.INTER_AREA if size > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=scaling), np.uint8)
