"""Sends a terminal only the cells that change.

Textual redraws a changed span from the left edge of its widget on, and whole widgets where only a
number moved. This keeps what the terminal shows - characters and renditions - and cuts every write
down to the cells that differ. Whatever is not text, colours and cursor moves passes through.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rich.cells import cell_len

from bas_tui.tui.drawing.kitty import clusters
from bas_tui.tui.shell.sgr import PLAIN, Rendition, parse, transition

_TOKENS = re.compile(r"\x1b\[([\d;]*)([mH])|\n")
_FOREIGN = re.compile(r"\x1b(?!\[[\d;]*[mH])|[\x00-\x09\x0b-\x1a\x1c-\x1f]")
_CLEARS = re.compile(r"\x1b\[\?1049[hl]|\x1b\[\d*J|\x1bc")
KEEP_GAP = 6
"""Unchanged cells between two changes that are sent again: a cursor move costs about as much."""


class _Row(NamedTuple):
    chars: list[str]
    styles: list[Rendition | None]

    def grow(self, width: int) -> None:
        missing = width - len(self.chars)
        if missing > 0:
            self.chars.extend([""] * missing)
            self.styles.extend([None] * missing)


class ScreenDiff:
    """The state of one terminal."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}

    def invalidate(self) -> None:
        """Forget what the terminal shows: everything is sent again when it is drawn next."""
        self._rows.clear()

    def reduce(self, data: str) -> str:
        """The part of a write that changes the screen; begins and ends with a plain rendition."""
        if _FOREIGN.search(data):
            if _CLEARS.search(data):
                self.invalidate()
            return data
        out = _Output()
        y = x = -1
        style = PLAIN
        end = 0
        for match in _TOKENS.finditer(data):
            if match.start() > end:
                x = self._draw(out, y, x, data[end : match.start()], style)
            end = match.end()
            kind = match.group(2)
            if kind == "m":
                style = parse(match.group(1))
            elif kind == "H":
                row, _, column = match.group(1).partition(";")
                y, x = int(row or 1) - 1, int(column or 1) - 1
        if end < len(data):
            x = self._draw(out, y, x, data[end:], style)
        return out.finish(y, x)

    def _draw(self, out: _Output, y: int, x: int, text: str, style: Rendition) -> int:
        """Draw a run of one rendition; the column behind it."""
        chars = clusters(text)
        width = len(chars) if text.isascii() or len(chars) < len(text) else cell_len(text)
        if y < 0 or width != len(chars):
            # Text of unknown place or with wide characters: sent as it is, and not remembered.
            out.put(y, x, text, width, style)
            self._forget(y, x, width)
            return x + width
        row = self._rows.setdefault(y, _Row([], []))
        row.grow(x + width)
        stop = x + width
        if row.chars[x:stop] != chars or row.styles[x:stop].count(style) != width:
            for start, until in _changes(row, x, chars, style):
                out.put(y, start, "".join(chars[start - x : until - x]), until - start, style)
            row.chars[x:stop] = chars
            row.styles[x:stop] = [style] * width
        return stop

    def _forget(self, y: int, x: int, width: int) -> None:
        row = self._rows.get(y)
        if row is not None:
            row.grow(x + width)
            row.styles[x : x + width] = [None] * width


def _changes(row: _Row, x: int, chars: list[str], style: Rendition) -> list[tuple[int, int]]:
    """Spans of columns that differ, joined across short gaps."""
    spans: list[tuple[int, int]] = []
    for column, char in enumerate(chars, x):
        if row.chars[column] != char or row.styles[column] != style:
            if spans and column - spans[-1][1] <= KEEP_GAP:
                spans[-1] = (spans[-1][0], column + 1)
            else:
                spans.append((column, column + 1))
    return spans


class _Output:
    """Writes cells with as few moves and renditions as possible."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._style = PLAIN
        self._at = (-1, -1)

    def put(self, y: int, x: int, text: str, width: int, style: Rendition) -> None:
        """Write text of so many cells at a place."""
        if y >= 0 and self._at != (y, x):
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        if style != self._style:
            self._parts.append(transition(self._style, style))
            self._style = style
        self._parts.append(text)
        self._at = (y, x + width)

    def finish(self, y: int, x: int) -> str:
        """Everything that was put, with the cursor left where the write wanted it."""
        if not self._parts:
            return ""
        if self._style != PLAIN:
            self._parts.append(transition(self._style, PLAIN))
        if y >= 0 and self._at != (y, x):
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        return "".join(self._parts)
