"""What pictures are made of: real pixels or blocks, as the terminal can and the person wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from textual.driver import Driver

from bas_tui.tui.drawing.blocks import PARTS
from bas_tui.tui.drawing.cell_size import cell_size
from bas_tui.tui.drawing.real_pixels import RealPixels
from bas_tui.tui.drawing.terminal import Terminal

PIXELS = "pixels"


class PictureStyle:
    """Names of styles are those of blocks, PIXELS, and the empty one: what fits best."""

    def __init__(self, terminal: Terminal, driver: Callable[[], Driver | None]) -> None:
        self._sharpest = terminal.sharpest
        self._driver = driver
        """The one that writes to the terminal; none before the application runs."""
        self._pixels: RealPixels | None = None
        if terminal.graphics:
            self._pixels = RealPixels(
                self._write, cell=cell_size(), truecolor=terminal.color_system == "truecolor",
                tmux=terminal.tmux is not None,
            )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """All that this terminal has."""
        return ("", *PARTS, *([PIXELS] if self._pixels is not None else []))

    def following(self, name: str) -> str:
        """The style after another one; after the last the first."""
        here = self.names.index(name) if name in self.names else 0
        return self.names[(here + 1) % len(self.names)]

    def applied(self, terminal: Terminal, name: str) -> Terminal:
        """The terminal as pictures in a style need it.

        Real pixels cost far more than a slow link has: there they come only when asked for.
        """
        blocks = [known for known in PARTS if known == name] or [self._sharpest]
        fits = name == PIXELS or (not name and not terminal.low_bandwidth)
        return dataclasses.replace(
            terminal, sharpest=blocks[0], pictures=self._pixels if fits else None
        )

    def words(self, terminal: Terminal, name: str) -> str:
        """What is shown now, for the footer."""
        shown = PIXELS if terminal.real_pixels is not None else f"{terminal.picture_blocks} blocks"
        return f"pictures: {shown}" if name else f"pictures: what fits, {shown}"

    def shows(self, color: int) -> bool:
        """Whether cells of this colour (0xRRGGBB) are one of the pictures of the application."""
        return self._pixels is not None and self._pixels.shows(color)

    def _write(self, data: str) -> None:
        if (driver := self._driver()) is not None:
            driver.write(data)

    def forget(self) -> None:
        """Free what the terminal keeps; it is sent again when it is shown again."""
        if self._pixels is not None:
            self._pixels.forget()
