"""How well a drawn thing's outline is the scene's: best overlap over shifts and scales.

A handle or a spout is a small share of an area but what makes a teapot: the thin parts are counted
on their own, too. Shapes: H and W pixels.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from engine.evaluate.scorers.regions import Mask
from engine.scenes.mask_ops import mask_box

SCALES = tuple(2.0 ** (step / 8) for step in range(-8, 9))
"""Half to twice the size in the scene."""

THIN = 9
"""A part narrower than this (pixels, about a latent cell) in every direction is thin."""

CORNER = 2 * THIN


class Fit(NamedTuple):
    """How a drawn silhouette fits the scene's at the best shift and scale."""

    iou: float
    """Intersection over union, 0..1."""
    thin: float
    """Share of the scene's thin parts that are drawn there; nan where the thing has none."""


def thin_parts(mask: Mask) -> Mask:
    """What an opening by a disc of THIN pixels takes away: handles, legs, stems, tips.

    Pieces below CORNER pixels are corners that a disc does not reach, and no parts.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    away = (mask & (opened == 0)).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(away, connectivity=8)
    kept = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] >= CORNER)
    return np.isin(labels, kept[kept > 0])


def best_fit(drawn: Mask, wanted: Mask) -> Fit:
    """Fit of the drawn silhouette to the wanted one; both hold something.

    The wanted one is scaled and shifted over the drawn one; nothing is turned or mirrored.
    """
    wanted, thin = _boxed(wanted, wanted), _boxed(thin_parts(wanted), wanted)
    drawn = _boxed(drawn, drawn)
    best, result = -1.0, Fit(0.0, math.nan)
    for scale in SCALES:
        size = tuple(max(1, round(side * scale)) for side in wanted.shape[::-1])
        template = _resized(wanted, size)
        high, wide = template.shape
        height, width = drawn.shape
        canvas = np.zeros((height + 2 * high, width + 2 * wide), np.float32)
        canvas[high : high + height, wide : wide + width] = drawn
        common = cv2.matchTemplate(canvas, template.astype(np.float32), cv2.TM_CCORR)
        y, x = np.unravel_index(int(common.argmax()), common.shape)
        shared = round(float(common[y, x]))
        iou = shared / max(1, int(drawn.sum()) + int(template.sum()) - shared)
        if iou > best:
            best = iou
            window = canvas[y : y + high, x : x + wide] > 0
            result = Fit(iou, _covered(_resized(thin, size) & template, window))
    return result


def _covered(part: Mask, drawn: Mask) -> float:
    """Share of the part's pixels that are drawn, one pixel of tolerance."""
    if not part.any():
        return math.nan
    near = cv2.dilate(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return float(near[part].mean())


def _boxed(mask: Mask, box_of: Mask) -> Mask:
    return mask[mask_box(box_of).slices]


def _resized(mask: Mask, size: tuple[int, ...]) -> Mask:
    scaled = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return scaled > 0.5
