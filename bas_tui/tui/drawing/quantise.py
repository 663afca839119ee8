"""Fewer colours and steadier levels, so that a redraw changes - and sends - fewer cells.

H and W are picture rows and columns; colours are uint8 RGB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CUBE = np.array([0, 95, 135, 175, 215, 255])
_CUBE_INDEX = np.abs(np.arange(256)[:, None] - _CUBE[None, :]).argmin(axis=1)
_GREY = np.arange(8, 239, 10)
_GREY_INDEX = np.abs(np.arange(256)[:, None] - _GREY[None, :]).argmin(axis=1)


def to_xterm(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The nearest colours of the 256-colour palette, as RGB: (..., 3) -> (..., 3)."""
    values = pixels.astype(np.int32)
    cube = _CUBE[_CUBE_INDEX[values]]
    grey = _GREY[_GREY_INDEX[values.sum(axis=-1) // 3]][..., None]
    cube_error = np.square(values - cube).sum(axis=-1, keepdims=True)
    grey_error = np.square(values - grey).sum(axis=-1, keepdims=True)
    return np.where(cube_error <= grey_error, cube, grey).astype(np.uint8)


def steady(
    pixels: NDArray[np.uint8], shown: NDArray[np.uint8] | None, tolerance: int = 10
) -> NDArray[np.uint8]:
    """`pixels` (H, W, 3), but where a pixel moved by at most `tolerance` the shown one stays."""
    if shown is None or shown.shape != pixels.shape:
        return pixels
    moved = np.abs(pixels.astype(np.int16) - shown).max(axis=-1, keepdims=True) > tolerance
    return np.where(moved, pixels, shown)


def to_levels(
    values: NDArray[np.float64],
    levels: int = 12,
    previous: NDArray[np.int64] | None = None,
    margin: float = 0.3,
) -> NDArray[np.int64]:
    """Levels 0..levels-1 of `values` in 0..1, any shape, with hysteresis.

    A cell leaves its `previous` level only when its value passes the level's border by more than
    `margin` of a level: noise around a border then changes nothing on the screen.
    """
    scaled = np.clip(values, 0, 1) * levels
    fresh = np.minimum(scaled.astype(np.int64), levels - 1)
    if previous is None or previous.shape != fresh.shape:
        return fresh
    inside = (scaled > previous - margin) & (scaled < previous + 1 + margin)
    return np.where(inside, previous, fresh)
