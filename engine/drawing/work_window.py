"""The square of a photo that an edit works on, and the way back into the photo.

A model draws squares of one size; a photo has any. The square around the region is scaled to the
model's side, changed there, and scaled back.

Shape legend: H and W photo size, S side of the square in the photo's pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from engine.scenes.mask_ops import mask_box

Pixels = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]

AROUND = 1.5
"""The square's side over the longer side of the region's box: what stands beside it tells the
model about light and scale."""


class WorkWindow(NamedTuple):
    """A square in the photo's pixels. It may reach beyond a photo that is too narrow for it."""

    top: int
    left: int
    side: int

    def cut(self, picture: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The square of a photo (H, W, 3) or mask (H, W); the photo's mirror image beyond it."""
        rows = _mirrored(np.arange(self.top, self.top + self.side), picture.shape[0])
        columns = _mirrored(np.arange(self.left, self.left + self.side), picture.shape[1])
        return np.ascontiguousarray(picture[rows][:, columns])


def work_window(mask_HW: BoolMask, side: int) -> WorkWindow:
    """The square around a region that is not empty, at least `side` pixels where the photo has
    them, and as near to the region's middle as the photo allows."""
    height, width = mask_HW.shape
    box = mask_box(mask_HW)
    longer = max(box.width, box.height)
    wanted = max(round(longer * AROUND), side)
    # Within the photo where the region fits into its shorter side.
    size = max(longer, min(wanted, height, width))
    top = _place((box.y0 + box.y1) / 2, size, height)
    left = _place((box.x0 + box.x1) / 2, size, width)
    return WorkWindow(top, left, size)


def scaled(picture_SSC: Pixels, side: int) -> Pixels:
    """A square picture at another side."""
    if picture_SSC.shape[0] == side:
        return picture_SSC
    how = cv2.INTER_AREA if picture_SSC.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(picture_SSC, (side, side), interpolation=how).astype(np.uint8)


def soft_inside(mask_HW: BoolMask, ramp: float) -> npt.NDArray[np.float32]:
    """0 outside the mask, and a smooth rise to 1 over `ramp` pixels inside it; (H, W).

    Nothing outside changes. A part that is narrower rises faster, so that its middle is wholly new.
    The picture's own border is no edge.
    """
    if ramp <= 0:
        return mask_HW.astype(np.float32)
    mask_u8 = mask_HW.astype(np.uint8)
    distance_HW = cv2.distanceTransform(mask_u8, cv2.DIST_L2, 5)
    # Half the local width: the largest distance within reach of the ramp, in the same part.
    reach = 2 * int(np.ceil(ramp)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    width_HW = np.zeros_like(distance_HW)
    count, parts_HW = cv2.connectedComponents(mask_u8)
    for part in range(1, count):
        own_HW = parts_HW == part
        width_HW[own_HW] = cv2.dilate(np.where(own_HW, distance_HW, 0), kernel)[own_HW]
    width_HW = np.minimum(width_HW, ramp)
    rise_HW = np.divide(
        distance_HW, width_HW, out=np.zeros_like(distance_HW), where=width_HW > 0
    ).clip(0, 1)
    smooth_HW = rise_HW * rise_HW * (3 - 2 * rise_HW)
    return np.where(mask_HW, smooth_HW, 0).astype(np.float32)


def pasted(
    photo: Pixels, mask_HW: BoolMask, window: WorkWindow, drawn_SSC: Pixels, *, ramp: float
) -> Pixels:
    """The photo with the drawn square in its region; every pixel outside the region is kept.

    `drawn_SSC` is as large as the window, `ramp` the soft edge in the photo's pixels.
    """
    height, width = photo.shape[:2]
    top, left = max(window.top, 0), max(window.left, 0)
    bottom = min(window.top + window.side, height)
    right = min(window.left + window.side, width)
    there = np.s_[top:bottom, left:right]
    alpha = soft_inside(mask_HW, ramp)[there][..., None]
    drawn = drawn_SSC[
        top - window.top : bottom - window.top, left - window.left : right - window.left
    ]
    result = photo.copy()
    before = photo[there].astype(np.float32)
    mixed = before + alpha * (drawn.astype(np.float32) - before)
    result[there] = mixed.round().clip(0, 255).astype(np.uint8)
    return result


def _place(middle: float, size: int, limit: int) -> int:
    if size >= limit:
        return (limit - size) // 2
    return min(max(round(middle - size / 2), 0), limit - size)


def _mirrored(positions: npt.NDArray[np.int_], size: int) -> npt.NDArray[np.int_]:
    """Positions beyond 0..size folded back at the border."""
    period = max(1, 2 * (size - 1))
    folded = np.abs(positions) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(positions)
