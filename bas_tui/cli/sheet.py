"""Pictures side by side under their captions: in the terminal, and as a PNG file."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import io
import os
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bas_tui.cli import stdout
from bas_tui.cli.pictures import draw
from engine.core.errors import UserError
from engine.files.atomic import write_atomic

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Group
    from rich.text import Text

GAP = 2
"""Cells between columns in the terminal."""
NARROWEST, WIDEST = 12, 44
"""Cells of a picture's width in the terminal; half as many lines are its height."""
SIDE, BORDER, LETTERS, LEADING = 256, 8, 17, 22
"""Of the file, in pixels: a picture's side, the space around it, letters and lines of captions."""


class Column(NamedTuple):
    """Pictures that have a caption in common, from top to bottom."""

    caption: str
    pictures: Sequence[Path]


def save(columns: Sequence[Column], path: Path) -> None:
    """Write the sheet as a PNG; raises UserError where that, or reading a picture, fails."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(LETTERS)
    captions = [textwrap.wrap(column.caption, 2 * SIDE // LETTERS) for column in columns]
    top = BORDER + LEADING * max(map(len, captions))
    rows = max(len(column.pictures) for column in columns)
    step = SIDE + BORDER
    size = (BORDER + step * len(columns), top + BORDER + step * rows)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for index, (column, lines) in enumerate(zip(columns, captions, strict=True)):
        left = BORDER + step * index
        pen.text((left, BORDER), "\n".join(lines), "black", font, spacing=LEADING - LETTERS)
        for row, picture in enumerate(column.pictures):
            sheet.paste(_fitted(picture), (left, top + BORDER + step * row))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as problem:
        raise UserError(
            f"cannot write {path}: {problem.strerror}", "free some space on the disk"
        ) from problem


def _fitted(path: Path) -> Image.Image:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as opened:
            return opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except Exception as problem:  # A damaged file makes a decoder raise nearly anything.
        raise UserError(f"cannot read {path} ({problem})", "draw it again") from problem


def show(columns: Sequence[Column], saved: Path, images: stdout.Images) -> None:
    """Show the sheet; nothing where stdout is no terminal, or colours are unwanted.

    `saved`: the sheet's file, which a terminal with graphics shows as it is.
    """
    if images == "none" or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return
    from rich.console import Console

    console = Console(highlight=False)
    if images == "auto" and sys.stdin.isatty():
        whole = draw(
            saved, console.width, console.height - 2, images="auto", colors=stdout.colors(console)
        )
        if whole.raw:
            stdout.graphics(whole.text)
            return
    kind = "blocks" if images == "auto" else images
    console.print(grid(columns, console.width, images=kind, colors=stdout.colors(console)))


def grid(
    columns: Sequence[Column], cells: int, *, images: stdout.Images = "half", colors: int = 1 << 24
) -> Group:
    """Pictures of blocks under their captions, `cells` wide; what does not fit goes below."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    width = (cells + GAP) // len(columns) - GAP
    width = min(max(width, NARROWEST), WIDEST)
    beside = max(1, (cells + GAP) // (width + GAP))
    tables: list[Table] = []
    for first in range(0, len(columns), beside):
        chosen = columns[first : first + beside]
        table = Table.grid(padding=(0, GAP, 0, 0))
        for _ in chosen:
            table.add_column(width=width)
        table.add_row(*(Text(column.caption, style="bold") for column in chosen))
        for row in zip_longest(*(column.pictures for column in chosen)):
            table.add_row(*(_blocks(path, width, images, colors) for path in row))
            table.add_row("")
        tables.append(table)
    return Group(*tables)


def _blocks(path: Path | None, width: int, images: stdout.Images, colors: int) -> Text:
    from rich.text import Text

    if path is None:
        return Text()
    # A graphics protocol cannot stand in a table: pictures of it are blocks.
    kind = "blocks" if images in ("auto", "kitty", "iterm", "sixel") else images
    return Text.from_ansi(draw(path, width, width // 2, images=kind, colors=colors).text)
