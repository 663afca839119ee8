"""Pictures as block characters: the two colours and the shape of every cell, by least error.

A cell is divided into parts (half-blocks 1x2, quadrants 2x2, sextants 2x3). For each way of giving
every part one of two colours, the best colours are the means of the two groups of parts, and what
is lost is the squared distance from them. The shape with the smallest loss is taken; nothing is
dithered. H and W are pixels, R rows and C columns of cells, N parts of a cell, S shapes.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Blocks = Literal["half", "quadrant", "sextant"]
PARTS: dict[Blocks, tuple[int, int]] = {"half": (1, 2), "quadrant": (2, 2), "sextant": (2, 3)}
"""Parts of a cell: across and down."""
SPACE, FULL, UPPER_HALF, LEFT_HALF, RIGHT_HALF = 0x20, 0x2588, 0x2580, 0x258C, 0x2590
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
"""By the bits of the parts that are inked: upper left 1, upper right 2, lower left 4, right 8."""


class Mosaic(NamedTuple):
    """Characters of a picture and their two colours."""

    chars_RC: NDArray[np.uint32]
    ink_RC3: NDArray[np.uint8]
    """Foreground; where the character is a space it says nothing."""
    paper_RC3: NDArray[np.uint8]
    """Background."""


def mosaic(pixels_HW3: NDArray[np.uint8], blocks: Blocks) -> Mosaic:
    """The cells of a picture whose sides are whole multiples of a cell's parts."""
    across, down = PARTS[blocks]
    rows, columns = pixels_HW3.shape[0] // down, pixels_HW3.shape[1] // across
    parts_RCN3 = (
        pixels_HW3.reshape(rows, down, columns, across, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(rows, columns, down * across, 3)
    )
    if blocks == "half":
        ink, paper = parts_RCN3[:, :, 0], parts_RCN3[:, :, 1]
        same = (ink == paper).all(axis=-1)
        return Mosaic(np.where(same, SPACE, UPPER_HALF).astype(np.uint32), ink, paper)
    chars_S, inked_SN = _shapes(blocks)
    values_RCN3 = parts_RCN3.astype(np.float32)
    total_RC3 = values_RCN3.sum(axis=2)
    inked_RCS3 = np.einsum("sn,rcnk->rcsk", inked_SN, values_RCN3, optimize=True)
    left_RCS3 = total_RC3[:, :, None] - inked_RCS3
    count_S = inked_SN.sum(axis=1)
    rest_S = down * across - count_S
    # Of the squared error only this part depends on the shape: the larger, the smaller the error.
    gain_RCS = np.square(inked_RCS3).sum(-1) / np.maximum(count_S, 1)
    gain_RCS += np.square(left_RCS3).sum(-1) / rest_S
    # Shapes come with the plainest first; another must be better by more than rounding.
    gain_RCS[:, :, 0] += 0.5
    best_RC = gain_RCS.argmax(axis=-1)
    index = (*np.indices(best_RC.shape), best_RC)
    ink = inked_RCS3[index] / np.maximum(count_S, 1)[best_RC][..., None]
    paper = left_RCS3[index] / rest_S[best_RC][..., None]
    return Mosaic(chars_S[best_RC], np.rint(ink).astype(np.uint8), np.rint(paper).astype(np.uint8))


def rendered(cells: Mosaic, blocks: Blocks) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) that a terminal shows for these cells, one for each part."""
    across, down = PARTS[blocks]
    rows, columns = cells.chars_RC.shape
    if blocks == "half":
        inked = {SPACE: (0, 0), UPPER_HALF: (1, 0)}
    else:
        inked = {
            int(char): tuple(shape)
            for char, shape in zip(*_shapes(blocks), strict=True)
        }  # fmt: skip
    mask_RCN = np.array([[inked[char] for char in row] for row in cells.chars_RC.tolist()])
    parts = np.where(
        mask_RCN[..., None] > 0, cells.ink_RC3[:, :, None], cells.paper_RC3[:, :, None]
    )
    return (
        parts.reshape(rows, columns, down, across, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(rows * down, columns * across, 3)
    )


@cache
def _shapes(blocks: Blocks) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Characters and their inked parts; of a shape and its negative only one, as colours swap."""
    across, down = PARTS[blocks]
    count = across * down
    numbers = range(1 << (count - 1))
    chars = [_quadrant(bits) if blocks == "quadrant" else _sextant(bits) for bits in numbers]
    inked = [[bits >> part & 1 for part in range(count)] for bits in numbers]
    return np.array(chars, dtype=np.uint32), np.array(inked, dtype=np.float32)


def _quadrant(bits: int) -> int:
    return ord(_QUADRANTS[bits])


def _sextant(bits: int) -> int:
    """Unicode's "symbols for legacy computing": by bits, without the four that are older."""
    older = {0: SPACE, 21: LEFT_HALF, 42: RIGHT_HALF, 63: FULL}
    if bits in older:
        return older[bits]
    return 0x1FB00 + bits - 1 - (bits > 21) - (bits > 42)
