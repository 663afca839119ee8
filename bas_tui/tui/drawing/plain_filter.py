"""The last step before the terminal: no text can hold a command for it, wherever it came from."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from bas_tui.tui.drawing.kitty import PLACEHOLDER, clusters
from engine.core.plain_text import plain


class PlainFilter(LineFilter):
    """Replaces control characters in the text of every segment; widths stay as they are.

    Placeholders of pictures pass where `shows` knows their colour as one of the application's own;
    in any other (behind a dialog colours are dimmed) they would show nothing, or another's picture.
    """

    def __init__(self, shows: Callable[[int], bool] | None = None) -> None:
        super().__init__()
        self._shows = shows

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The segments, those with controls of Textual's own untouched."""
        return [
            segment if segment.control or segment.text.isprintable() else self._plain(segment)
            for segment in segments
        ]

    def _plain(self, segment: Segment) -> Segment:
        if PLACEHOLDER not in segment.text:
            return Segment(plain(segment.text), segment.style)
        color = segment.style.color.triplet if segment.style and segment.style.color else None
        if self._shows is not None and color is not None:
            packed = color.red << 16 | color.green << 8 | color.blue
            if self._shows(packed) and segment.text.replace(PLACEHOLDER, "").isprintable():
                return segment
        return Segment(" " * len(clusters(segment.text)), segment.style)
