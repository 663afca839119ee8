"""What the terminal can show, decided once at the start from flags and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bas_tui.tui.drawing.blocks import Blocks
from bas_tui.tui.drawing.tmux import Tmux

if TYPE_CHECKING:
    from bas_tui.tui.drawing.cells import Cells

ColorName = Literal["auto", "truecolor", "256", "16", "none"]
TRUECOLOR = 1 << 24
MIN_WIDTH, MIN_HEIGHT = 72, 20
"""Below this size the application asks for a larger window instead of cutting things off."""


class Pictures(Protocol):
    """Shows pictures as real pixels (`real_pixels.RealPixels`)."""

    def cells(self, pixels: NDArray[np.uint8], columns: int, rows: int) -> Cells:
        """The cells that show a picture (H, W, 3) as large as it fits."""
        ...


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """Capabilities and habits of the terminal the application runs in."""

    colors: int = TRUECOLOR
    """0 (NO_COLOR), 16, 256 or 2**24."""
    ascii: bool = False
    """Write ASCII only: no half-blocks, no braille, no line drawing."""
    sharpest: Blocks = "half"
    """The smallest block characters that the terminal and its font show rightly."""
    graphics: bool = False
    """Whether it shows pictures at kitty's placeholders."""
    pictures: Pictures | None = field(default=None, compare=False)
    """Shows pictures as real pixels, where the terminal can and the person wants that."""
    low_bandwidth: bool = False
    """Redraw seldom and with few colours, for slow links."""
    tmux: Tmux | None = None
    """The tmux that the application runs in."""
    clipboard: bool = True
    """Whether the (outer) terminal may take OSC 52; some that may are set not to, and say nothing.
    """

    @property
    def real_pixels(self) -> Pictures | None:
        """What shows pictures as real pixels now; None: they are made of blocks."""
        return self.pictures if self.blocks and self.colors > 16 else None

    @property
    def quantise(self) -> bool:
        """Whether pictures are reduced to the 256-colour palette before they are compared."""
        return self.low_bandwidth or self.colors <= 256

    @property
    def color_system(self) -> Literal["standard", "256", "truecolor"]:
        """Rich's name for the colours that are written; a slow link gets the shorter 256."""
        if self.colors == 16:
            return "standard"
        return "256" if self.quantise else "truecolor"

    @property
    def cadence(self) -> float:
        """Seconds between redraws of things that change by themselves."""
        return 2.0 if self.low_bandwidth else 1.0

    @property
    def blocks(self) -> bool:
        """Whether pictures are drawn with half-blocks (needs colours and Unicode)."""
        return self.colors > 0 and not self.ascii

    @property
    def picture_blocks(self) -> Blocks:
        """What pictures are made of; two colours out of 16 say nothing about four parts."""
        return self.sharpest if self.blocks and self.colors > 16 else "half"


def detect(
    color: str = "auto",
    low_bandwidth: bool | None = None,
    ascii_only: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> Terminal:
    """The terminal as flags and environment describe it; asks the terminal itself nothing.

    `low_bandwidth` None means: yes under SSH. `ascii_only` None means: yes with TERM=dumb or where
    the locale is not UTF-8.
    """
    environ = os.environ if environ is None else environ
    term = environ.get("TERM", "")
    if color == "auto":
        colors = _detect_colors(environ, term)
    else:
        colors = {"truecolor": TRUECOLOR, "256": 256, "16": 16, "none": 0}.get(color, TRUECOLOR)
    if ascii_only is None:
        ascii_only = bool(environ.get("BAS_ASCII")) or term == "dumb" or not _is_utf8(environ)
    if low_bandwidth is None:
        low_bandwidth = bool(environ.get("SSH_CONNECTION"))
    return Terminal(
        colors=colors,
        sharpest=sharpest_blocks(environ),
        ascii=ascii_only,
        low_bandwidth=low_bandwidth,
        tmux=Tmux() if environ.get("TMUX") else None,
        clipboard=term not in ("dumb", "linux") and environ.get("TERM_PROGRAM") != "Apple_Terminal",
    )


DRAWN = (
    "kitty", "xterm-kitty", "foot", "ghostty", "xterm-ghostty", "wezterm", "contour", "rio",
)  # fmt: skip
"""Terminals that draw sextants themselves, whatever the font; as they call themselves."""
VTE_WITH_SEXTANTS = 5800
COARSE = ("linux", "dumb", "vt100", "vt220", "cygwin")
"""Values of TERM of terminals whose fonts have half-blocks at most."""


def sharpest_blocks(environ: Mapping[str, str], outer: str = "") -> Blocks:
    """The smallest blocks that a terminal surely has, by what it says of itself.

    Quadrants are in the fonts of nearly all; sextants only where the terminal draws them itself.
    `outer` is the terminal around tmux as it calls itself (`Tmux.outer`).
    """
    term = environ.get("TERM", "")
    if term in COARSE:
        return "half"
    inside = bool(environ.get("TMUX")) or term.startswith("screen")
    names = [outer] if inside else [term, environ.get("TERM_PROGRAM", "")]
    named = any(name.lower().startswith(DRAWN) for name in names)
    said = any(environ.get(key) for key in ("KITTY_WINDOW_ID", "WEZTERM_PANE", "WT_SESSION"))
    vte = environ.get("VTE_VERSION", "")
    drawn = vte.isdecimal() and int(vte) >= VTE_WITH_SEXTANTS
    return "sextant" if named or (not inside and (said or drawn)) else "quadrant"


def _detect_colors(environ: Mapping[str, str], term: str) -> int:
    # NO_COLOR counts only with a value (https://no-color.org).
    if environ.get("NO_COLOR"):
        return 0
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return TRUECOLOR
    if "256color" in term or "kitty" in term or "direct" in term:
        return 256
    return 0 if term == "dumb" else 16


def _is_utf8(environ: Mapping[str, str]) -> bool:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name):
            return "utf-8" in value.lower() or "utf8" in value.lower()
    # No locale at all is the rule in containers, whose terminals nevertheless speak UTF-8.
    return True
