"""The last step before the terminal: no text can hold a command for it, wherever it came from."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from engine.core.plain_text import plain


class PlainFilter(LineFilter):
    """Replaces control characters in the text of every segment; widths stay as they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """The segments, those with controls of Textual's own untouched."""
        return [
            segment
            if segment.control or segment.text.isprintable()
            else Segment(plain(segment.text), segment.style)
            for segment in segments
        ]
