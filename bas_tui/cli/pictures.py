"""Turns a picture into terminal text: blocks by our own, graphics protocols by term-image."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bas_tui.cli import streams
from bas_tui.tui.drawing import kitty
from bas_tui.tui.drawing.blocks import PARTS, Blocks, mosaic
from bas_tui.tui.drawing.cell_size import cell_size
from bas_tui.tui.drawing.graphics import Protocol, ask, known_protocol
from bas_tui.tui.drawing.real_pixels import RealPixels
from bas_tui.tui.drawing.tmux import Tmux, ask_tmux
from engine.core.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image


class Drawn(NamedTuple):
    """A picture as terminal text; `raw` text is a graphics protocol and must not be changed."""

    text: str
    raw: bool


def draw(path: Path, columns: int, rows: int, *, images: str, colors: int) -> Drawn:
    """A picture in at most `columns` x `rows` cells; raises UserError where it cannot be read.

    `images`: `auto` takes what the terminal says it can do, by its environment or when it is asked
    once; `kitty`, `iterm` and `sixel` are sent unasked; `blocks` and its kinds are characters.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
    except Exception as problem:  # A damaged file makes a decoder raise nearly anything.
        raise UserError(f"cannot show {path} ({problem})", "open the file instead") from problem
    if images == "auto":
        images = known_protocol(os.environ, _tmux()) or _asked() or "blocks"
    if images == "kitty" and _tmux() is not None:
        return Drawn(_placeholders(np.asarray(picture), columns, rows), raw=True)
    if images == "sixel":
        from bas_tui.cli.sixel import sixel

        width, height = _size_in_cells(picture, columns, rows)
        return Drawn(sixel(picture, width, height), raw=True)
    if images in ("kitty", "iterm"):
        return _graphics(picture, columns, rows, images)
    return Drawn(_blocks(picture, columns, rows, _chosen_blocks(images, colors)), raw=False)


def _chosen_blocks(images: str, colors: int) -> Blocks:
    from bas_tui.tui.drawing.terminal import sharpest_blocks

    for known in PARTS:
        if known == images:
            return known
    if colors <= 16:
        return "half"
    tmux = _tmux()
    return sharpest_blocks(os.environ, tmux.outer if tmux is not None else "")


def _size_in_cells(picture: Image, columns: int, rows: int) -> tuple[int, int]:
    from bas_tui.tui.drawing.halfblock import fitted_size

    return fitted_size(picture.width, picture.height, columns, rows)


def _blocks(picture: Image, columns: int, rows: int, blocks: Blocks) -> str:
    from bas_tui.tui.drawing.halfblock import fit

    cells = mosaic(fit(np.asarray(picture), columns, rows, blocks), blocks)
    lines: list[str] = []
    for chars, inks, papers in zip(*(part.tolist() for part in cells), strict=True):
        line, before = "", None
        for char, ink, paper in zip(chars, inks, papers, strict=True):
            if (ink, paper) != before:
                line += f"\x1b[38;2;{_numbers(ink)};48;2;{_numbers(paper)}m"
                before = ink, paper
            line += chr(char)
        lines.append(line + "\x1b[0m")
    return "\n".join(lines)


def _numbers(color: list[int]) -> str:
    return ";".join(map(str, color))


@cache
def _tmux() -> Tmux | None:
    """What tmux says of itself, once; None outside of it."""
    return ask_tmux() if os.environ.get("TMUX") else None


@cache
def _asked() -> Protocol:
    """What the terminal answers, once; inside a multiplexer that would be the multiplexer."""
    term = os.environ.get("TERM", "")
    inside = _tmux() is not None or term.startswith(("screen", "tmux"))
    if inside or term in ("", "dumb", "linux") or not streams.live(0):
        return ""
    return ask().protocol


def _placeholders(pixels: NDArray[np.uint8], columns: int, rows: int) -> str:
    """The picture through tmux: sent past it, and shown by characters that it scrolls as text."""
    sent: list[str] = []
    sender = RealPixels(sent.append, cell=cell_size(), truecolor=True, tmux=True)
    cells = sender.cells(pixels, columns, rows)
    packed = int(cells.fg[0, 0])
    color = _numbers([packed >> 16, packed >> 8 & 255, packed & 255])
    lines = ("".join(map(kitty.text_of, row)) for row in cells.chars.tolist())
    shown = "\n".join(f"\x1b[38;2;{color}m{line}\x1b[39m" for line in lines)
    return "".join(sent) + shown


def _graphics(picture: Image, columns: int, rows: int, images: str) -> Drawn:
    """The picture by a graphics protocol, unasked."""
    warnings.filterwarnings("ignore", message=".*not running within a terminal")
    import term_image

    # Its queries would eat what is typed meanwhile.
    term_image.disable_queries()
    from term_image.exceptions import TermImageError
    from term_image.image import ITerm2Image, KittyImage

    try:
        kind = KittyImage if images == "kitty" else ITerm2Image
        kind.forced_support = True
        shown = kind(picture)
        assert shown is not None
        shown.set_size(height=rows)
        if shown.rendered_width > columns:
            shown.set_size(width=columns)
        return Drawn(str(shown), raw=True)
    except TermImageError as problem:
        remedy = "take --images blocks"
        raise UserError(f"cannot show a picture ({problem})", remedy) from problem
