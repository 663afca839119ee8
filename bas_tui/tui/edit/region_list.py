"""The regions of a photo: number, colour, size, and what is to be drawn there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.edit.keys import KEYS
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.clickable import ClickableWords, clickable

KEEPS = (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
"""Choices of how much of what is there is kept."""
DECODER_STEPS = (0, 25, 50, 75, 100, 150)
"""Choices of how long the decoder is fitted to the photo."""


@dataclass(frozen=True, kw_only=True)
class RegionLine:
    """A region as the list shows it."""

    key: int
    prompt: str
    share: float
    """Of the photo, 0..1."""


@dataclass(frozen=True, kw_only=True)
class RegionState:
    """What the list shows."""

    regions: tuple[RegionLine, ...] = ()
    current: int = -1
    keep: float = 0.25
    decoder_steps: int = 0


class RegionList(ClickableWords, can_focus=True):
    """One line per region, the current one marked; below, how they are drawn."""

    SCOPE = "regions"
    HELP_TEXT = (
        "The regions in the order in which they are drawn, each on the result of the one before. "
        "A click chooses one, enter writes its prompt. `keep` says how much of what is there "
        "shows through: 0 draws from noise alone, 0.5 changes the thing that is there. `decoder` "
        "fits a copy of the decoder to the photo in so many steps: the edge is seen less, and the "
        "thing keeps its outline; off fades the new pixels in."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "regions"))
    DEFAULT_CSS = "RegionList { height: auto; }"

    state: reactive[RegionState] = reactive(RegionState(), layout=True)

    class Chosen(Message):
        """A region was clicked."""

        def __init__(self, key: int) -> None:
            super().__init__()
            self.key = key

    def render(self) -> Content:
        """Regions, then how they are drawn."""
        state, width = self.state, self.size.width
        lines = [self._line(index, region) for index, region in enumerate(state.regions)]
        if not lines:
            lines = [Content.styled("no region yet: paint on the photo", "$faint")]
        lines.append(self._how())
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)

    def _line(self, index: int, region: RegionLine) -> Content:
        color, here = concept_color(index), region.key == self.state.current
        few = getattr(getattr(self.app, "terminal", None), "colors", 256) <= 16
        swatch = color.letter if few else " "
        return Content.assemble(
            Content.styled("▸" if here else " ", "bold $primary"),
            Content.styled(f"{swatch} ", f"{color.ink} on {color.hex}"),
            Content.styled(f" {_percent(region.share):>4} ", "$faint"),
            Content.styled(region.prompt or "no prompt: w", "bold" if here else ""),
        )

    def _how(self) -> Content:
        steps = self.state.decoder_steps
        parts = [
            Content.assemble(
                Content.styled(f"{word} ", "$faint"),
                clickable(Content.styled("<", "bold $primary"), f"screen.change('{word}', -1)"),
                f" {value} ",
                clickable(Content.styled(">", "bold $primary"), f"screen.change('{word}', 1)"),
            )
            for word, value in (
                ("keep", f"{self.state.keep:g}"),
                ("decoder", f"{steps}" if steps else "off"),
            )
        ]
        return Content("  ").join(parts)

    def on_click(self, event: events.Click) -> None:
        """Choose a region."""
        offset = event.get_content_offset_capture(self)
        if 0 <= offset.y < len(self.state.regions):
            self.focus()
            self.post_message(self.Chosen(self.state.regions[offset.y].key))

    def on_focus(self) -> None:
        """Show that the keys go here."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide it."""
        self.refresh()


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"
