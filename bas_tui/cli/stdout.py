"""The only owner of stdout: lines of data, JSON, tables and pictures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bas_tui.cli import streams
from engine.core.plain_text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from engine.runs.events import Event

Images = Literal["auto", "blocks", "half", "quadrant", "sextant", "kitty", "iterm", "sixel", "none"]
MAX_ROWS_SHARE = 0.75
"""A picture fills at most this share of the terminal's height."""


def line(text: str) -> None:
    """One line of data; on a terminal without what would command it."""
    print(plain(text) if sys.stdout.isatty() else text, flush=True)


def graphics(text: str) -> None:
    """A picture in a terminal's own protocol."""
    print(text, flush=True)


def event_line(event: Event) -> None:
    """An event as one JSON line."""
    from engine.runs.events import to_line

    line(to_line(event))


def json_line(record: Any) -> None:
    """Any other data as one JSON line."""
    line(json.dumps(record, ensure_ascii=False))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str] = (),
    *,
    folds: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """A table for eyes on a terminal; tab-separated lines, without a head, elsewhere.

    Columns named in `folds` take more lines where the terminal is narrow (none named: all but the
    first); those in `spare` are left out below 100 columns.
    """
    if not sys.stdout.isatty():
        for row in rows:
            line("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    kept = [k for k, name in enumerate(columns) if console.width >= 100 or name not in spare]
    titled = any(columns)
    grid = Table(
        box=box.SIMPLE_HEAD if titled else None,
        show_header=titled,
        pad_edge=False,
        header_style="bold",
    )
    for index in kept:
        style = styles[index] if index < len(styles) else ""
        fixed = columns[index] not in folds if folds else index == 0
        grid.add_column(columns[index], style=style, overflow="fold", no_wrap=fixed)
    for row in rows:
        grid.add_row(*(Text(plain(row[index])) for index in kept))
    console.print(grid)


def colors(console: Console) -> int:
    """How many colours the terminal shows: 0, 16, 256 or 2**24."""
    return {None: 0, "standard": 16, "windows": 16, "256": 256}.get(console.color_system, 1 << 24)


def picture(path: Path, images: Images) -> None:
    """Show a picture in the terminal; nothing where stdout is none, or colours are unwanted."""
    if images == "none" or not streams.live(1) or os.environ.get("NO_COLOR"):
        return
    from rich.console import Console
    from rich.text import Text

    from bas_tui.cli.pictures import draw

    console = Console()
    rows = max(4, int(console.height * MAX_ROWS_SHARE))
    if images == "auto" and not sys.stdin.isatty():
        images = "blocks"
    drawn = draw(path, console.width, rows, images=images, colors=colors(console))
    if drawn.raw:
        graphics(drawn.text)
    else:  # Through Rich, which turns true colours into the 256 of a lesser terminal.
        console.print(Text.from_ansi(drawn.text))
