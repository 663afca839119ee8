"""Sends a terminal only the cells that change.

Textual redraws a changed span from the left edge of its widget on, and whole widgets where only a
number moved. This keeps what the terminal shows - characters and renditions - and cuts every write
down to the cells that differ. Whatever is not text, colours and cursor moves passes through.

On a slow link (`paced`) it also keeps what the terminal should show, and sends of the difference
only as much as the link takes: short changes first - what answers a key - then pictures, row by
row. What is out of date before its turn is never sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len

from bas_tui.tui.drawing.kitty import clusters
from bas_tui.tui.shell.sgr import PLAIN, Rendition, parse, transition

_TOKENS = re.compile(r"\x1b\[([\d;]*)([mH])|\n")
_FOREIGN = re.compile(r"\x1b(?!\[[\d;]*[mH])|[\x00-\x09\x0b-\x1a\x1c-\x1f]")
_CLEARS = re.compile(r"\x1b\[\?1049[hl]|\x1b\[\d*J|\x1bc")
PIECE = 32
"""Cells that are sent at once at most, so that a budget is kept."""
SHORT = 48
"""Changed cells of a row that is sent before others, and when the budget is just used up."""
DEBT = 1_000
"""Bytes beyond the budget that short changes may take."""
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
        self._wanted: dict[int, _Row] = {}
        """Rows that are to be sent, as they should be; only on a slow link."""
        self._cursor = (-1, -1)
        self.paced = False
        """Whether `reduce` only notes what is wanted, and `next_part` sends it."""

    @property
    def waiting(self) -> bool:
        """Whether the terminal lacks something that was written."""
        return bool(self._wanted)

    def invalidate(self) -> None:
        """Forget what the terminal shows: everything is sent again when it is drawn next."""
        self._rows.clear()
        self._wanted.clear()

    def next_part(self, limit: float) -> str:
        """Of what waits, about `limit` bytes: rows with the fewest changes first."""
        out = _Output()
        changes = {y: self._changes_of(y) for y in self._wanted}
        cells = {y: sum(end - start for start, end in spans) for y, spans in changes.items()}
        for y in sorted(changes, key=lambda y: (cells[y] > SHORT, y)):
            budget = limit + DEBT if cells[y] <= SHORT else limit
            wanted, shown = self._wanted[y], self._rows.setdefault(y, _Row([], []))
            shown.grow(len(wanted.chars))
            for start, end in _pieces(wanted, changes[y]):
                if out.size >= budget:
                    break
                style = wanted.styles[start]
                assert style is not None
                out.put(y, start, "".join(wanted.chars[start:end]), end - start, style)
                shown.chars[start:end] = wanted.chars[start:end]
                shown.styles[start:end] = wanted.styles[start:end]
            else:
                del self._wanted[y]
        return out.finish(*self._cursor)

    def _changes_of(self, y: int) -> list[tuple[int, int]]:
        wanted, shown = self._wanted[y], self._rows.get(y, _Row([], []))
        shown.grow(len(wanted.chars))
        differ = [
            column
            for column, style in enumerate(wanted.styles)
            if style is not None
            and (shown.styles[column] != style or shown.chars[column] != wanted.chars[column])
        ]
        spans: list[tuple[int, int]] = []
        for column in differ:
            if spans and column == spans[-1][1]:
                spans[-1] = (spans[-1][0], column + 1)
            else:
                spans.append((column, column + 1))
        return spans

    def reduce(self, data: str) -> str:
        """The part of a write that changes the screen; begins and ends with a plain rendition."""
        if _FOREIGN.search(data):
            if _CLEARS.search(data):
                self.invalidate()
            return data
        out = _Output()
        if self.waiting and not self.paced:
            out.raw(self.next_part(float("inf")))
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
        self._cursor = y, x
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
        stop = x + width
        if self.paced:
            self._want(y, x, chars, style)
            return stop
        row = self._rows.setdefault(y, _Row([], []))
        row.grow(x + width)
        if row.chars[x:stop] != chars or row.styles[x:stop].count(style) != width:
            for start, until in _changes(row, x, chars, style):
                out.put(y, start, "".join(chars[start - x : until - x]), until - start, style)
            row.chars[x:stop] = chars
            row.styles[x:stop] = [style] * width
        return stop

    def _want(self, y: int, x: int, chars: list[str], style: Rendition) -> None:
        row = self._wanted.setdefault(y, _Row([], []))
        stop = x + len(chars)
        row.grow(stop)
        row.chars[x:stop] = chars
        row.styles[x:stop] = [style] * len(chars)

    def _forget(self, y: int, x: int, width: int) -> None:
        for row in (self._rows.get(y), self._wanted.get(y)):
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


def _pieces(row: _Row, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Parts of the spans that have one rendition, PIECE cells long at most."""
    for first, stop in spans:
        start = first
        for column in range(first + 1, stop + 1):
            same = column < stop and row.styles[column] == row.styles[start]
            if not same or column - start == PIECE:
                yield start, column
                start = column


class _Output:
    """Writes cells with as few moves and renditions as possible."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0
        """Bytes that were written."""
        self._style = PLAIN
        self._at = (-1, -1)

    def put(self, y: int, x: int, text: str, width: int, style: Rendition) -> None:
        """Write text of so many cells at a place."""
        if y >= 0 and self._at != (y, x):
            self.raw(f"\x1b[{y + 1};{x + 1}H")
        if style != self._style:
            self.raw(transition(self._style, style))
            self._style = style
        self.raw(text)
        self._at = (y, x + width)

    def raw(self, text: str) -> None:
        """Write something as it is."""
        if text:
            self._parts.append(text)
            self.size += len(text) if text.isascii() else len(text.encode())

    def finish(self, y: int, x: int) -> str:
        """Everything that was put, with the cursor left where the write wanted it."""
        if not self._parts:
            return ""
        if self._style != PLAIN:
            self._parts.append(transition(self._style, PLAIN))
        if y >= 0 and self._at != (y, x):
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        return "".join(self._parts)
