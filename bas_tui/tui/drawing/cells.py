"""A grid of coloured characters that repaints, and sends, only the spans that changed.

Textual rewrites the whole of a widget that is refreshed. Here a new grid is compared with the one
on the screen and only the changed spans of each row are refreshed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as ThemeColor
from textual.color import ColorParseError
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from bas_tui.tui.drawing.kitty import CODE, text_of
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.drawing.terminal import Terminal

SPACE = 32
OWN = -1
"""As a colour: the widget's own foreground or background."""
JOIN_GAP = 10
"""Changed spans that are at most this far apart are sent as one: a cursor move costs as much."""


class Cells(NamedTuple):
    """Characters and colours of a widget's content, each array of shape (rows, columns)."""

    chars: NDArray[np.uint32]
    """Code points of characters one cell wide."""
    fg: NDArray[np.int32]
    """0xRRGGBB or OWN."""
    bg: NDArray[np.int32]
    """0xRRGGBB or OWN."""

    @classmethod
    def blank(cls, rows: int, columns: int) -> Cells:
        """Spaces in the widget's own colours."""
        shape = (max(0, rows), max(0, columns))
        own = np.full(shape, OWN, dtype=np.int32)
        return cls(np.full(shape, SPACE, dtype=np.uint32), own, own.copy())

    def write(self, row: int, column: int, text: str, fg: int = OWN) -> None:
        """Write ASCII or narrow text in place; what lies outside is cut off."""
        rows, columns = self.chars.shape
        if not 0 <= row < rows:
            return
        start = max(0, -column)
        text = text[start : columns - column]
        begin = column + start
        if text and begin < columns:
            self.chars[row, begin : begin + len(text)] = [ord(char) for char in text]
            self.fg[row, begin : begin + len(text)] = fg

    def paste(self, row: int, column: int, part: Cells) -> None:
        """Write another grid in place; what lies outside is cut off."""
        rows, columns = self.chars.shape
        height, width = (
            min(part.chars.shape[0], rows - row),
            min(part.chars.shape[1], columns - column),
        )
        if height > 0 and width > 0:
            for target, source in zip(self, part, strict=True):
                target[row : row + height, column : column + width] = source[:height, :width]


def pack_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(..., 3) uint8 -> (...) 0xRRGGBB."""
    wide = pixels.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def changed_spans(old: Cells, new: Cells) -> list[Region]:
    """Regions one row high that cover every changed cell; both grids have the same shape."""
    changed = (old.chars != new.chars) | (old.fg != new.fg) | (old.bg != new.bg)
    spans: list[Region] = []
    for row in np.flatnonzero(changed.any(axis=1)).tolist():
        columns = np.flatnonzero(changed[row])
        cuts = np.flatnonzero(np.diff(columns) > JOIN_GAP)
        starts = columns[np.concatenate(([0], cuts + 1))].tolist()
        ends = columns[np.concatenate((cuts, [len(columns) - 1]))].tolist()
        spans.extend(
            Region(start, row, end - start + 1, 1) for start, end in zip(starts, ends, strict=True)
        )
    return spans


class CellCanvas(Widget):
    """A widget that shows a `Cells` grid; `paint` refreshes what changed."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "CellCanvas { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._cells = Cells.blank(0, 0)
        self._styles_by_color: dict[tuple[Style, int, int], Style] = {}

    @property
    def terminal(self) -> Terminal:
        """What the terminal can show; truecolor outside of the application."""
        return getattr(self.app, "terminal", Terminal())

    @property
    def cells(self) -> Cells:
        """The grid on the screen. Do not write into it."""
        return self._cells

    def set_title(self, title: str) -> None:
        """Change the border's title; setting the attribute itself repaints the whole widget."""
        if str(self.border_title or "") != title:
            self.border_title = title

    def ink(self, name: str) -> int:
        """A theme colour (`foreground`, `faint`, `primary`, ...) as cells take it."""
        value = self.app.theme_variables.get(name, "")
        try:
            red, green, blue = ThemeColor.parse(value).rgb
        except ColorParseError:
            return OWN
        return red << 16 | green << 8 | blue

    def concept_ink(self, index: int) -> int:
        """The colour of concept (or run) `index` for text and lines: darker on a light theme."""
        if self.terminal.colors == 0:
            return OWN
        share = 1.0 if self.app.current_theme.dark else 0.62
        red, green, blue = (int(share * value) for value in concept_color(index).rgb)
        return red << 16 | green << 8 | blue

    def paint(self, cells: Cells) -> None:
        """Show another grid; the caller gives the arrays away."""
        cells = _carry_foreground(cells)
        old, self._cells = self._cells, cells
        if old.chars.shape != cells.chars.shape:
            self.refresh()
        elif spans := changed_spans(old, cells):
            self.refresh(*spans)

    def render_line(self, y: int) -> Strip:
        """One row as runs of equal colours."""
        base = self.visual_style.rich_style
        width = self.size.width
        if y >= self._cells.chars.shape[0]:
            return Strip.blank(width, base)
        chars, fg, bg = (array[y] for array in self._cells)
        text: str | list[str] = _text(chars)
        cuts = (np.flatnonzero((fg[1:] != fg[:-1]) | (bg[1:] != bg[:-1])) + 1).tolist()
        bounds = [0, *cuts, len(text)]
        segments = [
            Segment("".join(text[start:end]), self._style(base, int(fg[start]), int(bg[start])))
            for start, end in pairwise(bounds)
            if end > start
        ]
        return Strip(segments, len(text)).adjust_cell_length(width, base)

    def _style(self, base: Style, fg: int, bg: int) -> Style:
        key = (base, fg, bg)
        style = self._styles_by_color.get(key)
        if style is None:
            style = base + Style(color=_color(fg), bgcolor=_color(bg))
            if len(self._styles_by_color) > 4096:
                self._styles_by_color.clear()
            self._styles_by_color[key] = style
        return style


def _text(chars: NDArray[np.uint32]) -> str | list[str]:
    """Characters cell by cell; cells of pictures have several."""
    if (chars & CODE).any():
        return [text_of(code) for code in chars.tolist()]
    return chars.astype("<u4").tobytes().decode("utf-32-le")


def _color(packed: int) -> Color | None:
    if packed == OWN:
        return None
    return Color.from_rgb(packed >> 16, packed >> 8 & 255, packed & 255)


def _carry_foreground(cells: Cells) -> Cells:
    """Give blanks the foreground to their left: fewer colour changes, the same picture."""
    columns = np.arange(cells.chars.shape[1])
    source = np.maximum.accumulate(np.where(cells.chars != SPACE, columns, 0), axis=1)
    return cells._replace(fg=np.take_along_axis(cells.fg, source, axis=1))
