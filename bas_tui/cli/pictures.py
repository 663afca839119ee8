"""Turns a picture into terminal text: blocks by our own, graphics protocols by term-image."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bas_tui.tui.drawing.blocks import PARTS, Blocks, mosaic
from engine.core.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image


class Drawn(NamedTuple):
    """A picture as terminal text; `raw` text is a graphics protocol and must not be changed."""

    text: str
    raw: bool


def draw(path: Path, columns: int, rows: int, *, images: str, colors: int) -> Drawn:
    """A picture in at most `columns` x `rows` cells; raises UserError where it cannot be read.

    `images`: `auto` finds out by queries what graphics the terminal can do, `kitty`, `iterm2` and
    `sixel` are sent unasked; `block`, `half`, `quadrant` and `sextant` are characters. Queries are
    switched off for all others before anything else, because they eat keys typed meanwhile.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
    except OSError as problem:
        raise UserError(f"cannot show {path} ({problem})", "open the file instead") from problem
    if images == "sixel":
        from bas_tui.cli.sixel import sixel

        width, height = _size_in_cells(picture, columns, rows)
        return Drawn(sixel(picture, width, height), raw=True)
    if images in ("auto", "kitty", "iterm2"):
        graphics = _graphics(picture, columns, rows, images)
        if graphics is not None:
            return graphics
    return Drawn(_blocks(picture, columns, rows, _chosen_blocks(images, colors)), raw=False)


def _chosen_blocks(images: str, colors: int) -> Blocks:
    from bas_tui.tui.drawing.terminal import sharpest_blocks
    from bas_tui.tui.drawing.tmux import ask_tmux

    for known in PARTS:
        if known == images:
            return known
    if colors <= 16:
        return "half"
    outer = ask_tmux().outer if os.environ.get("TMUX") else ""
    return sharpest_blocks(os.environ, outer)


def _size_in_cells(picture: Image, columns: int, rows: int) -> tuple[int, int]:
    from bas_tui.tui.drawing.halfblock import fitted_size

    return fitted_size(picture.width, picture.height, columns, rows)


def _blocks(picture: Image, columns: int, rows: int, blocks: Blocks) -> str:
    import numpy as np

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


def _graphics(picture: Image, columns: int, rows: int, images: str) -> Drawn | None:
    """The picture by a graphics protocol; None where the terminal was asked and has none."""
    warnings.filterwarnings("ignore", message=".*not running within a terminal")
    import term_image

    if images != "auto":
        term_image.disable_queries()
    from term_image.exceptions import TermImageError
    from term_image.image import AutoImage, BlockImage, ITerm2Image, KittyImage

    try:
        if images == "auto":
            shown = AutoImage(picture)
            if isinstance(shown, BlockImage):
                return None
        else:
            kind = KittyImage if images == "kitty" else ITerm2Image
            kind.forced_support = True
            shown = kind(picture)
        assert shown is not None
        shown.set_size(height=rows)
        if shown.rendered_width > columns:
            shown.set_size(width=columns)
        return Drawn(str(shown), raw=True)
    except TermImageError as problem:
        remedy = "take --images block"
        raise UserError(f"cannot show a picture ({problem})", remedy) from problem
