"""Pictures as real pixels: each is sent once, then it is cells like any other."""

from __future__ import annotations

import hashlib
import io
import random
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bas_tui.tui.drawing import kitty
from bas_tui.tui.drawing.cells import OWN, Cells
from bas_tui.tui.drawing.tmux import wrapped

MOST_KEPT = 96
"""Pictures that the terminal keeps; the one that was not shown for longest goes first."""
Pixels = NDArray[np.uint8]


class RealPixels:
    """Sends pictures to one terminal by the kitty protocol and knows what it has.

    A cell's colour is the picture's number. Where only 256 colours pass, numbers are places in
    the palette's colour cube, so that they survive as such.
    """

    def __init__(
        self, write: Callable[[str], object], *, cell: tuple[int, int], truecolor: bool, tmux: bool
    ) -> None:
        self._write = write
        self._cell = cell
        """Pixels of a cell: width and height."""
        self._truecolor = truecolor
        self._tmux = tmux
        self._kept: OrderedDict[tuple[bytes, int, int], int] = OrderedDict()
        """Numbers, by what is shown at which size."""
        self._colors: dict[int, int] = {}
        """Numbers by colour."""
        # Two programs in one terminal (panes of tmux) must hardly ever use the same numbers.
        self._free = random.sample(list(_numbers(truecolor)), k=MOST_KEPT + 1)

    def cells(self, pixels: Pixels, columns: int, rows: int) -> Cells:
        """The cells that show a picture (H, W, 3) as large as it fits; sends it if it must."""
        width, height = self._fitted(pixels, columns, rows)
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=12).digest()
        key = (digest + bytes(str(pixels.shape), "ascii"), width, height)
        number = self._kept.get(key)
        if number is None:
            number = self._free.pop()
            self._kept[key] = number
            for sequence in kitty.transmission(
                number, self._png(pixels, width, height), width, height
            ):
                self._send(sequence)
            if len(self._kept) > MOST_KEPT:
                _, oldest = self._kept.popitem(last=False)
                self._send(kitty.removal(oldest))
                self._free.insert(0, oldest)
        self._kept.move_to_end(key)
        self._colors = {self._color(used): used for used in self._kept.values()}
        grid = kitty.CODE | np.arange(height)[:, None] << 10 | np.arange(width)[None, :]
        paper = np.full(grid.shape, OWN, dtype=np.int32)
        ink = np.full(grid.shape, self._color(number), dtype=np.int32)
        return Cells(grid.astype(np.uint32), ink, paper)

    def shows(self, color: int) -> bool:
        """Whether a placeholder of this colour (0xRRGGBB) is one of these pictures."""
        return color in self._colors

    def forget(self) -> None:
        """Free everything in the terminal; what is shown next is sent anew."""
        for number in self._kept.values():
            self._send(kitty.removal(number))
            self._free.insert(0, number)
        self._kept.clear()
        self._colors = {}

    def _fitted(self, pixels: Pixels, columns: int, rows: int) -> tuple[int, int]:
        """Columns and rows, at least one, that keep the aspect with this terminal's cells."""
        across, down = self._cell
        scale = min(columns * across / pixels.shape[1], rows * down / pixels.shape[0])
        width = round(pixels.shape[1] * scale / across)
        height = round(pixels.shape[0] * scale / down)
        most = kitty.MOST_CELLS
        return max(1, min(columns, width, most)), max(1, min(rows, height, most))

    def _png(self, pixels: Pixels, columns: int, rows: int) -> bytes:
        """No larger than it is shown: the terminal enlarges for nothing."""
        from PIL import Image

        size = (columns * self._cell[0], rows * self._cell[1])
        picture = Image.fromarray(pixels, "RGB")
        if size[0] < picture.width or size[1] < picture.height:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=4)
        return buffer.getvalue()

    def _color(self, number: int) -> int:
        return number if self._truecolor else _cube_color(number)

    def _send(self, sequence: str) -> None:
        self._write(wrapped(sequence) if self._tmux else sequence)


def _numbers(truecolor: bool) -> list[int]:
    """Numbers to choose from: below 2**24 as a colour, or palette entries that are no grey."""
    if truecolor:
        # Beyond what programs count up to from 1, and no colour of a theme or a picture's block.
        return list(range(0x10001, 0x1000000, 0x1F3))
    levels = range(6)
    return [
        16 + 36 * red + 6 * green + blue
        for red in levels for green in levels for blue in levels
        if not red == green == blue
    ]  # fmt: skip


def _cube_color(number: int) -> int:
    """0xRRGGBB of an entry of the 256-colour palette's cube."""
    steps = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(number - 16, 36)
    green, blue = divmod(rest, 6)
    return steps[red] << 16 | steps[green] << 8 | steps[blue]
