"""Pictures in the terminal: two pixels a cell, one above the other, as a half-block.

`HalfBlock.show` takes pixels at display size - `fit` scales them there - and sends only what
changed. Where colours or Unicode are missing the same pixels become an ASCII brightness ramp.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def fit(pixels: Pixels, columns: int, rows: int) -> Pixels:
    """Scale a picture into `columns` x `rows` cells, keeping its aspect: (2*rows', columns', 3).

    Shrinking averages areas; growing repeats pixels, so that small pictures stay crisp.
    """
    from PIL import Image

    columns, rows = fitted_size(pixels.shape[1], pixels.shape[0], columns, rows)
    shrinks = columns < pixels.shape[1] or 2 * rows < pixels.shape[0]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
    scaled = Image.fromarray(pixels, "RGB").resize((columns, 2 * rows), method)
    return np.asarray(scaled, dtype=np.uint8)


def load_picture(path: Path) -> Pixels | None:
    """A picture this program wrote, as RGB; None when it is missing or unreadable."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


class HalfBlock(CellCanvas):
    """A picture of pixels; one column is one pixel, one row is two."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._pixels: Pixels | None = None

    def show(self, pixels: Pixels | None) -> None:
        """Show pixels (H, W, 3) at display size, from the top left; None clears the widget.

        With few colours or a slow link they are reduced to the 256-colour palette, and pixels that
        hardly moved stay as they are.
        """
        if pixels is None:
            self._pixels = None
            self.paint(Cells.blank(0, 0))
            return
        if self.terminal.quantise:
            pixels = steady(pixels, self._pixels)
            self._pixels = pixels
            pixels = to_xterm(pixels)
        self.paint(picture_cells(pixels, self.terminal))
