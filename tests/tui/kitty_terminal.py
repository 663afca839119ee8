"""A terminal with kitty's placeholders, as far as pictures go: what was written, as pixels."""

from __future__ import annotations

import base64
import io
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bas_tui.tui.drawing.kitty import MARKS, PLACEHOLDER

_TOKEN = re.compile(
    r"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\"
    r"|\x1b\[(\d*);?(\d*)H|\x1b\[([\d;]*)m|\x1b\[[?>=<\d;]*[a-zA-Z]|\n"
    rf"|({PLACEHOLDER}[{MARKS}]*|[^\x1b\n])"
)
_CUBE = (0, 95, 135, 175, 215, 255)


class Sent(NamedTuple):
    """A picture that the terminal keeps, and its size in cells."""

    pixels: NDArray[np.uint8]
    columns: int
    rows: int


class KittyTerminal:
    """Read `written` once; `cell` is the size of a cell in pixels."""

    def __init__(self, written: str, *, passed: bool = False) -> None:
        if passed:  # As tmux does it, in its outermost layer.
            written = re.sub(
                r"\x1bPtmux;((?:[^\x1b]|\x1b\x1b)*)\x1b\\",
                lambda match: match.group(1).replace("\x1b\x1b", "\x1b"),
                written,
                flags=re.DOTALL,
            )
        self.sent: dict[int, Sent] = {}
        self.bytes_of_pictures = 0
        self.cells: dict[tuple[int, int], tuple[str, int]] = {}
        """Characters and the numbers that their colours spell, by row and column."""
        self._half = ""
        self._head: dict[str, str] = {}
        y = x = number = 0
        for match in _TOKEN.finditer(written):
            keys, data, row, column, style, char = match.groups()
            if keys is not None:
                self.bytes_of_pictures += len(match.group())
                self._command(dict(pair.split("=") for pair in keys.split(",")), data)
            elif row is not None:
                y, x = int(row or 1) - 1, int(column or 1) - 1
            elif style is not None:
                number = _number(style, number)
            elif char is not None:
                self.cells[y, x] = (char, number)
                x += 1

    def _command(self, keys: dict[str, str], data: str) -> None:
        if keys.get("a") == "d":
            del self.sent[int(keys["i"])]
            return
        if "a" in keys:
            assert keys["U"] == "1" and keys["q"] == "2" and keys["f"] == "100"
            self._half, self._head = "", keys
        self._half += data
        if keys.get("m", "0") == "0":
            picture = Image.open(io.BytesIO(base64.b64decode(self._half))).convert("RGB")
            head = self._head
            number, columns, rows = int(head["i"]), int(head["c"]), int(head["r"])
            self.sent[number] = Sent(np.asarray(picture), columns, rows)

    def shown(self) -> dict[int, set[tuple[int, int]]]:
        """Which cells of which pictures are on the screen; all are where they must be."""
        found: dict[int, set[tuple[int, int]]] = {}
        origin: dict[int, set[tuple[int, int]]] = {}
        for (y, x), (char, number) in self.cells.items():
            if not char.startswith(PLACEHOLDER):
                continue
            row, column = (MARKS.index(mark) for mark in char[1:])
            picture = self.sent[number]
            assert row < picture.rows and column < picture.columns
            found.setdefault(number, set()).add((row, column))
            origin.setdefault(number, set()).add((y - row, x - column))
        assert all(len(places) == 1 for places in origin.values())
        return found


def _number(style: str, before: int) -> int:
    if true := re.search(r"38;2;(\d+);(\d+);(\d+)", style):
        red, green, blue = map(int, true.groups())
        return red << 16 | green << 8 | blue
    if palette := re.search(r"38;5;(\d+)", style):
        return int(palette.group(1))
    return 0 if style in ("", "0") or "39" in style.split(";") else before
