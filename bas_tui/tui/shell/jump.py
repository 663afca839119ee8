"""Jump mode: a letter on everything that can have the focus."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.geometry import Offset
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class JumpScreen(ModalScreen[Widget | None]):
    """Closes with the widget whose letter was typed or clicked, or None."""

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        shown = [
            widget
            for widget in below.focus_chain
            if widget.region and widget.region.overlaps(below.region)
        ]
        self._targets = dict(zip(LETTERS, shown, strict=False))

    def compose(self) -> ComposeResult:
        """A label at the top left of each target."""
        for letter, widget in self._targets.items():
            label = Label(f" {letter} ", classes="jump-label", markup=False)
            label.absolute_offset = Offset(widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """A target's letter goes there, every other key goes back."""
        event.stop()
        event.prevent_default()
        self.dismiss(self._targets.get(event.key))

    def on_click(self, event: events.Click) -> None:
        """A click on a label goes there."""
        letter = str(event.widget.render()).strip() if isinstance(event.widget, Label) else ""
        self.dismiss(self._targets.get(letter))
