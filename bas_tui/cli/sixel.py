# pyright: reportUnknownMemberType=false
"""Sixel graphics (DEC VT340): six rows of pixels a band, a bit a pixel, one plane a colour."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from bas_tui.tui.drawing.cell_size import cell_size

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = 255


def sixel(picture: Image, columns: int, rows: int) -> str:
    """The picture scaled to so many cells, as a sixel sequence, with a line break behind it."""
    across, down = cell_size()
    height = max(6, rows * down // 6 * 6)
    small = picture.resize((max(1, columns * across), height))
    reduced = small.quantize(COLOURS)
    palette = np.array(reduced.getpalette() or [], dtype=np.float64).reshape(-1, 3)
    indices_HW = np.asarray(reduced)
    head = f'\x1bPq"1;1;{small.width};{height}'
    registers = "".join(
        f"#{index};2;" + ";".join(str(round(value * 100 / 255)) for value in palette[index])
        for index in np.unique(indices_HW).tolist()
    )
    bands = (_band(indices_HW[top : top + 6]) for top in range(0, height, 6))
    return f"{head}{registers}{'-'.join(bands)}\x1b\\"


def _band(indices_6W: np.ndarray) -> str:
    weights = np.array([1, 2, 4, 8, 16, 32])[:, None]
    planes: list[str] = []
    for index in np.unique(indices_6W).tolist():
        bits_W = ((indices_6W == index) * weights).sum(axis=0)
        runs = ((value, len(list(same))) for value, same in groupby(bits_W.tolist()))
        text = "".join(
            f"!{length}{chr(63 + value)}" if length > 3 else chr(63 + value) * length
            for value, length in runs
        )
        planes.append(f"#{index}{text}")
    return "$".join(planes)
