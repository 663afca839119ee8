"""Operations on one mask: HxW bool arrays in, new arrays (or changed boxes) out."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import numpy.typing as npt

from engine.scenes.pixel_box import EMPTY, Box, Point, stroke_box

Mask = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]
"""HxWx3, RGB."""


def draw_stroke(mask: Mask, start: Point, end: Point, radius: float, value: bool) -> Box:
    """Set, in place, the pixels whose centre lies within `radius` of the segment.

    The pixel under `end` is always set, so a radius below half a pixel still paints. Returns the
    box that may have changed.
    """
    height, width = mask.shape
    box = stroke_box(start, end, max(radius, 0.5)).clip(width, height)
    if box.empty:
        return EMPTY
    x = np.arange(box.x0, box.x1, dtype=np.float64) + 0.5 - start.x
    y = np.arange(box.y0, box.y1, dtype=np.float64)[:, None] + 0.5 - start.y
    dx, dy = end.x - start.x, end.y - start.y
    length = dx * dx + dy * dy
    along = np.clip((x * dx + y * dy) / length, 0.0, 1.0) if length > 0 else 0.0
    near = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius
    mask[box.slices][near] = value
    if 0 <= end.x < width and 0 <= end.y < height:
        mask[int(end.y), int(end.x)] = value
    return box


def flood(image: Picture, seed: tuple[int, int], tolerance: int) -> Mask:
    """The 4-connected region around pixel `seed` (x, y) of about the seed's colour.

    A pixel belongs to it where every channel differs by at most `tolerance` from the seed pixel.
    """
    height, width = image.shape[:2]
    filled = np.zeros((height + 2, width + 2), np.uint8)
    span = (tolerance,) * 3
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
    cv2.floodFill(np.ascontiguousarray(image), filled, seed, (0, 0, 0), span, span, flags)
    return filled[1:-1, 1:-1] == 255


def grow(mask: Mask, pixels: int) -> Mask:
    """Add every pixel within `pixels` of the mask."""
    return cv2.dilate(mask.astype(np.uint8), _disc(pixels)).astype(bool)


def shrink(mask: Mask, pixels: int) -> Mask:
    """Remove every pixel within `pixels` of an unmasked one; beyond the edge counts as masked."""
    return cv2.erode(mask.astype(np.uint8), _disc(pixels)).astype(bool)


def fill_holes(mask: Mask) -> Mask:
    """Add the gaps from which no 4-connected way leads to the picture's edge."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(labels != labels[0, 0])[1:-1, 1:-1]


def keep_largest(mask: Mask) -> Mask:
    """The largest 8-connected piece; of equal ones the first from the top left."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    if count <= 2:
        return mask.copy()
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.asarray(labels == largest)


def mask_digest(mask: Mask) -> str:
    """16 hex digits of sha256 over size and pixels: what a region is called."""
    digest = hashlib.sha256(f"{mask.shape}".encode())
    digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()[:16]


def picture_digest(picture: Picture) -> str:
    """The same of a picture."""
    digest = hashlib.sha256(f"{picture.shape}".encode())
    digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()[:16]


def difference_box(before: Mask, after: Mask) -> Box:
    """The smallest box around all pixels that differ."""
    return mask_box(before != after)


def mask_box(mask: Mask) -> Box:
    """The smallest box around a mask; `EMPTY` for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return EMPTY
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def resized(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask at another size (width, height); a thin one does not vanish."""
    if (mask.shape[1], mask.shape[0]) == size:
        return mask
    shrinks = size[0] < mask.shape[1]
    scaled = cv2.resize(
        mask.astype(np.float32), size,
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )  # fmt: skip
    found = np.asarray(scaled) > 0.5
    return found if found.any() or not mask.any() else np.asarray(scaled) > 0


def _disc(radius: int) -> Picture:
    steps = np.arange(-radius, radius + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius * radius).astype(np.uint8)
