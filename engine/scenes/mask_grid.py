"""Masks at other sizes, and on a grid of cells: one rule for training, checks and screens.

Shape legend: N concepts, H and W picture size in pixels, S side of the grid.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

GridRule = Literal["nearest", "area", "touch", "grown"]
GRID_RULES: tuple[GridRule, ...] = get_args(GridRule)

GridMasks = npt.NDArray[np.float32]


def mask_grid(masks_NHW: npt.NDArray[Any], side: int, *, rule: GridRule = "nearest") -> GridMasks:
    """Masks of 0..1 (or bool) on a square grid of `side` cells; float32 (N, S, S).

    `nearest`: the sampled pixel decides, as in the released script; a mask that sampling would
    erase keeps every cell it touches instead. `area`: the share of the cell that the mask covers.
    `touch`: the largest value in the cell. `grown`: `nearest`, and every cell beside one.

    `nearest` and `touch` give the values of torch's interpolate(mode="nearest") and
    adaptive_max_pool2d to the last bit.
    """
    if rule == "area":
        down_SH, across_SW = (_overlap(size, side) for size in masks_NHW.shape[1:])
        return (down_SH @ masks_NHW.astype(np.float32) @ across_SW.T).clip(0, 1)
    if rule == "touch":
        return _largest(_largest(masks_NHW, side, axis=1), side, axis=2).astype(np.float32)
    rows_S, columns_S = (_sampled(size, side) for size in masks_NHW.shape[1:])
    grids_NSS = masks_NHW[:, rows_S[:, None], columns_S].astype(np.float32)
    erased_N = grids_NSS.max(axis=(1, 2)) == 0
    if erased_N.any():
        grids_NSS[erased_N] = mask_grid(masks_NHW[erased_N], side, rule="touch")
    return _grown(grids_NSS) if rule == "grown" else grids_NSS


def grid_cells(mask_HW: npt.NDArray[Any], side: int, *, rule: GridRule = "nearest") -> int:
    """How many cells of the grid hold a part of the mask."""
    return int(np.count_nonzero(mask_grid(mask_HW[None], side, rule=rule)))


def falls_between(mask_HW: npt.NDArray[Any], side: int) -> bool:
    """Whether sampling one pixel a cell misses the whole mask, though it is not empty."""
    rows_S, columns_S = (_sampled(size, side) for size in mask_HW.shape)
    return bool(mask_HW.any()) and not mask_HW[np.ix_(rows_S, columns_S)].any()


def resize_mask(mask_HW: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A mask at `size` (width, height), nearest; one that this erases keeps what it touches."""
    picture = Image.fromarray(mask_HW.astype(np.uint8))
    resized = np.asarray(picture.resize(size, Image.Resampling.NEAREST)) > 0
    if resized.any() or not mask_HW.any():
        return resized
    return np.asarray(picture.convert("F").resize(size, Image.Resampling.BOX)) > 0


def _sampled(size: int, side: int) -> npt.NDArray[np.intp]:
    """The pixel that stands for each cell; (S,)."""
    if side == 2 * size:
        return np.arange(side) >> 1
    # The quotient is rounded to single precision, because torch's is.
    positions_S = np.arange(side, dtype=np.float32) * (np.float32(size) / np.float32(side))
    return np.minimum(np.floor(positions_S).astype(np.intp), size - 1)


def _largest(values: npt.NDArray[Any], side: int, *, axis: int) -> npt.NDArray[Any]:
    """The maximum over each cell's pixels along one axis; a pixel on a cell's edge is in both."""
    size = values.shape[axis]
    return np.stack(
        [
            values.take(range(cell * size // side, -(-(cell + 1) * size // side)), axis).max(axis)
            for cell in range(side)
        ],
        axis,
    )


def _overlap(size: int, side: int) -> GridMasks:
    """The share of each cell that each pixel fills along one axis; (S, size)."""
    edges = np.arange(side + 1)[:, None] * (size / side)
    pixels = np.arange(size)
    common = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (common.clip(0, None) * (side / size)).astype(np.float32)


def _grown(grids_NSS: GridMasks) -> GridMasks:
    """Every cell takes the largest value of its 3x3 neighbourhood."""
    side = grids_NSS.shape[-1]
    padded = np.zeros((len(grids_NSS), side + 2, side + 2), grids_NSS.dtype)
    padded[:, 1:-1, 1:-1] = grids_NSS
    return np.maximum.reduce(
        [
            padded[:, row : row + side, column : column + side]
            for row in range(3)
            for column in range(3)
        ]
    )
