"""Turns a picture into terminal text, by term-image."""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from engine.core.errors import UserError


class Drawn(NamedTuple):
    """A picture as terminal text; `raw` text is a graphics protocol and must not be changed."""

    text: str
    raw: bool


def draw(path: Path, columns: int, rows: int, *, ask_terminal: bool) -> Drawn:
    """A PNG in at most `columns` x `rows` cells; raises UserError where it cannot be read.

    `ask_terminal`: find out by queries what graphics the terminal can do; else half-blocks. Queries
    are switched off before anything else, because they eat keys typed meanwhile.
    """
    warnings.filterwarnings("ignore", message=".*not running within a terminal")
    import term_image

    if not ask_terminal:
        term_image.disable_queries()
    from PIL import Image
    from term_image.exceptions import TermImageError
    from term_image.image import AutoImage, BlockImage

    try:
        with Image.open(path, formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
        shown = AutoImage(picture) if ask_terminal else BlockImage(picture)
        shown.set_size(height=rows)
        if shown.rendered_width > columns:
            shown.set_size(width=columns)
        return Drawn(str(shown), not isinstance(shown, BlockImage))
    except (OSError, TermImageError) as problem:
        raise UserError(f"cannot show {path} ({problem})", "open the file instead") from problem
