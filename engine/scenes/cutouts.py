"""The things of a scene as cut-outs: where else they stand, and the ground without them.

Shape legend: N concepts, H and W picture size in pixels; masks are bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engine.scenes.mask_ops import mask_box

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Top, left, bottom, right."""

FULL = 0.9
"""A thing is at most this share of the picture's side, and its share of the width of several."""

CUT = 0.35
"""A thing that touches the picture's edge with this share of its height or width is cut off by
it, and not only near it."""


def box_of(mask: Masks) -> Box:
    """The box around a mask that is not empty."""
    box = mask_box(mask)
    return box.y0, box.x0, box.y1, box.x1


def cut_off(mask: Masks) -> tuple[bool, bool]:
    """Whether the left or right edge, and the upper or lower one, cut a thing off (see `CUT`)."""
    top, left, bottom, right = box_of(mask)
    across = max(mask[:, 0].sum(), mask[:, -1].sum()) > CUT * (bottom - top)
    along = max(mask[0].sum(), mask[-1].sum()) > CUT * (right - left)
    return bool(across), bool(along)


def movable(masks_NHW: Masks) -> tuple[int, ...]:
    """Concepts that are things in the picture, not the picture's ground: those whose box leaves
    room to move. A mask of the background spans it all."""
    sides = masks_NHW.shape[1:]
    boxes = [box_of(mask) for mask in masks_NHW]
    return tuple(
        index
        for index, (top, left, bottom, right) in enumerate(boxes)
        if bottom - top <= FULL * sides[0] or right - left <= FULL * sides[1]
    )


def painted_over(image: Pixels, hole: Masks, *, spare: Masks | None = None) -> Pixels:
    """The hole and a margin filled from around it; what `spare` holds stays as it is."""
    if not hole.any():
        return image
    side = image.shape[0]
    margin = 1 + 2 * max(1, side // 40)
    grown = cv2.dilate(hole.astype(np.uint8), np.ones((margin, margin), np.uint8))
    if spare is not None:
        grown[spare] = 0
    # Filled at a small size: a hole has no detail to keep, and the time grows with its area.
    small = min(side, 128)
    size = (small, small)
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    where = cv2.resize(grown, size, interpolation=cv2.INTER_NEAREST)
    if not where.any():
        return image
    filled = cv2.inpaint(coarse, where, 5, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(grown[:, :, None] > 0, filled, image).astype(np.uint8)


def joined(masks_KHW: Masks) -> Masks:
    """What any of the masks holds: (H, W)."""
    return np.asarray(masks_KHW.any(axis=0), bool)


class Cutout(NamedTuple):
    """A thing at its new size and place."""

    pixels: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    box: Box


def cut(image: Pixels, mask: Masks, scale: float) -> Cutout:
    """A thing at another size, at no place yet."""
    top, left, bottom, right = box_of(mask)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    scaling = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    window = np.s_[top:bottom, left:right]
    pixels = cv2.resize(image[window], size, interpolation=scaling).astype(np.float32)
    alpha = cv2.resize(
        mask[window].astype(np.float32), size, interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    return Cutout(pixels, alpha, (0, 0, size[1], size[0]))


def painted(ground: Pixels, placed: Sequence[Cutout]) -> Pixels:
    """The cut-outs on the ground, the last one in front."""
    canvas = ground.astype(np.float32)
    for pixels, alpha, (top, left, bottom, right) in placed:
        area = canvas[top:bottom, left:right]
        area += alpha[:, :, None] * (pixels - area)
    return canvas.clip(0, 255).astype(np.uint8)


class Placing(NamedTuple):
    """Where a thing is to stand, in shares of the picture's side."""

    concept: int
    x: float
    y: float
    """Its middle."""
    width: float
    """0: as in the scene."""


def standing(mask: Masks, x: float, y: float, width: float) -> Box:
    """Where a thing stands that is wanted with its middle at x, y (see `Placing`): inside."""
    side = mask.shape[0]
    top, left, bottom, right = box_of(mask)
    scale = _scale(mask, width)
    wide, high = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    y0 = min(max(round(y * side - high / 2), 0), side - high)
    x0 = min(max(round(x * side - wide / 2), 0), side - wide)
    return y0, x0, y0 + high, x0 + wide


def _scale(mask: Masks, width: float) -> float:
    side = mask.shape[0]
    top, left, bottom, right = box_of(mask)
    scale = width * side / (right - left) if width else 1.0
    return min(scale, side / max(bottom - top, right - left))


class Collage(NamedTuple):
    """Things at new places on the scene's ground."""

    image: Pixels
    things_HW: Masks
    """What is covered by a thing."""


def collage(image: Pixels, masks_NHW: Masks, placings: Sequence[Placing]) -> Collage:
    """The scene's ground with cut-outs of its things where they are wanted, the last in front.

    A thing never leaves the picture: one that would is moved in, and made smaller where it must.
    """
    things = list(movable(masks_NHW))
    ground = painted_over(image, joined(masks_NHW[things])) if things else image
    placed: list[Cutout] = []
    covered_HW = np.zeros(image.shape[:2], bool)
    for concept, x, y, width in placings:
        mask = masks_NHW[concept]
        cutout = cut(image, mask, _scale(mask, width))
        cutout = cutout._replace(box=standing(mask, x, y, width))
        top, left, bottom, right = cutout.box
        covered_HW[top:bottom, left:right] |= cutout.alpha > 0.5
        placed.append(cutout)
    return Collage(painted(ground, placed), covered_HW)
