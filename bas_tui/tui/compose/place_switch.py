"""A check box: whether pictures begin with things at their places."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive

from bas_tui.tui.shell.clickable import ClickableWords, clickable


class PlaceSwitch(ClickableWords):
    """`[x] place things (P)`."""

    active: reactive[bool] = reactive(False)

    def render(self) -> Content:
        """The box and what it is for."""
        style = "bold $accent" if self.active else "$primary"
        box = "[x]" if self.active else "[ ]"
        return clickable(Content.styled(f" {box} place things (P)", style), "screen.place()")
