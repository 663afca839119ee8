# ruff: noqa: RUF001 - look-alike characters are what this file is about.
"""The last step in ASCII mode: every character that is left becomes an ASCII one of its width."""

from __future__ import annotations

import unicodedata

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_TWINS = {
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+",
    "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "═": "=",
    "║": "|", "▔": "-", "▁": "_", "▎": "|", "▊": "|", "▌": "|", "▐": "|", "█": "#", "▓": "#",
    "▒": "=", "░": ".", "▄": "#", "▀": "#", "●": "*", "○": "o", "◐": "o", "‖": "|", "✓": "+",
    "✗": "x", "■": "#", "□": "o", "▶": ">", "▼": "v", "▲": "^", "◀": "<", "←": "<", "→": ">",
    "↑": "^", "↓": "v", "⏎": "<", "⇧": "S", "…": "~", "·": "-", "•": "*", "–": "-", "—": "-",
    "×": "x", "±": "~", "µ": "u", "°": "o", "“": '"', "”": '"', "‘": "'", "’": "'", "⚠": "!",
    "╶": "-", "╴": "-", "╷": "|", "╵": "|", "▕": "|", "▏": "|", "⚑": "!", "◆": "*", "◇": "o",
    "▸": ">", "◂": "<",
}  # fmt: skip


class _Twins(dict[int, str]):
    def __missing__(self, code: int) -> str:
        if code < 128:
            twin = chr(code)
        else:
            base = unicodedata.normalize("NFKD", chr(code))[0]
            twin = base if base.isascii() and base.isprintable() else "?"
        if unicodedata.east_asian_width(chr(code)) in "WF":
            twin *= 2
        self[code] = twin
        return twin


_TABLE = _Twins({ord(char): twin for char, twin in _TWINS.items()})


class AsciiFilter(LineFilter):
    """Translates the text of every segment."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Segments with ASCII text of equal width."""
        return [
            segment
            if segment.text.isascii()
            else Segment(segment.text.translate(_TABLE), segment.style, segment.control)
            for segment in segments
        ]
