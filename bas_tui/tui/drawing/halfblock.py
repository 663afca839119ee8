"""Pictures in the terminal.

`photo_cells` shows a picture in a room of cells with the sharpest blocks that the terminal has
(`blocks`); `picture_cells` shows a grid of values, where each is exactly one half-block. Where
colours or Unicode are missing the same pixels become an ASCII brightness ramp.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bas_tui.tui.drawing.blocks import PARTS, Blocks, mosaic
from bas_tui.tui.drawing.cells import OWN, SPACE, CellCanvas, Cells, pack_rgb
from bas_tui.tui.drawing.quantise import steady, to_xterm
from bas_tui.tui.drawing.terminal import Terminal

UPPER_HALF = 0x2580
RAMP = np.array([ord(char) for char in " .:-=+*#%@"], dtype=np.uint32)
Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""


def picture_cells(pixels: Pixels, terminal: Terminal) -> Cells:
    """Pixels (2*rows, columns, 3) -> a grid of (rows, columns) cells."""
    if pixels.shape[0] % 2:
        pixels = np.concatenate((pixels, pixels[-1:]))
    if not terminal.blocks:
        return _ascii_cells(pixels)
    top, bottom = pack_rgb(pixels[0::2]), pack_rgb(pixels[1::2])
    chars = np.where(top == bottom, SPACE, UPPER_HALF).astype(np.uint32)
    return Cells(chars, top, bottom)


def _ascii_cells(pixels: Pixels) -> Cells:
    weights = np.array([0.299, 0.587, 0.114])
    light = (pixels @ weights).reshape(pixels.shape[0] // 2, 2, pixels.shape[1]).mean(axis=1)
    chars = RAMP[np.minimum(light * len(RAMP) / 256, len(RAMP) - 1).astype(np.int64)]
    own = np.full(chars.shape, OWN, dtype=np.int32)
    return Cells(chars, own, own.copy())


def fitted_size(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """Largest (columns, rows) inside the given cells that keeps a picture's aspect; at least 1x1.

    A cell is one pixel wide and two pixels high.
    """
    scale = min(columns / max(1, width), 2 * rows / max(1, height))
    return max(1, min(columns, round(width * scale))), max(1, min(rows, round(height * scale / 2)))


def fit(pixels: Pixels, columns: int, rows: int, blocks: Blocks = "half") -> Pixels:
    """Scale a picture into `columns` x `rows` cells, keeping its aspect, to one pixel for each
    part of a cell: (2*rows', columns', 3) with half-blocks.

    Shrinking averages areas; growing repeats pixels, so that small pictures stay crisp.
    """
    from PIL import Image

    columns, rows = fitted_size(pixels.shape[1], pixels.shape[0], columns, rows)
    across, down = PARTS[blocks]
    width, height = across * columns, down * rows
    shrinks = width < pixels.shape[1] or height < pixels.shape[0]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels, "RGB").resize((width, height), method), np.uint8)


class Photo(NamedTuple):
    """A picture as cells, and the pixels it was made of."""

    cells: Cells
    pixels: Pixels
    """For `before` of the next picture in the same place."""


def photo_cells(
    pixels: Pixels, columns: int, rows: int, terminal: Terminal, before: Pixels | None = None
) -> Photo:
    """Show a picture (H, W, 3) as large as it fits into a room of cells, where the terminal can
    as real pixels.

    With few colours or a slow link pixels that hardly moved since `before` stay as they are, and
    the colours are reduced to the 256-colour palette.
    """
    if (pixels_of := terminal.real_pixels) is not None:
        return Photo(pixels_of.cells(pixels, columns, rows), pixels)
    blocks = terminal.picture_blocks
    small = fit(pixels, columns, rows, blocks)
    if terminal.quantise:
        small = steady(small, before)
    if blocks == "half":
        shown = to_xterm(small) if terminal.quantise else small
        return Photo(picture_cells(shown, terminal), small)
    chars, ink, paper = mosaic(small, blocks)
    if terminal.quantise:
        ink, paper = to_xterm(ink), to_xterm(paper)
    return Photo(Cells(chars, pack_rgb(ink), pack_rgb(paper)), small)


def load_picture(path: Path) -> Pixels | None:
    """A picture this program wrote, as RGB; None when it is missing or unreadable."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:  # A damaged file makes a decoder raise nearly anything.
        return None


class Photograph(CellCanvas):
    """A picture as large as the widget allows, from its top left."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._before: Pixels | None = None

    def show(self, pixels: Pixels | None) -> None:
        """Show a picture (H, W, 3); None clears the widget."""
        if pixels is None or not self.size:
            self._before = None
            self.paint(Cells.blank(0, 0))
            return
        photo = photo_cells(pixels, *self.size, self.terminal, self._before)
        self._before = photo.pixels
        self.paint(photo.cells)
