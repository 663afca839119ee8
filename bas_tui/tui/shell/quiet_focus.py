"""A canvas that gets and loses the focus without being sent anew."""

from __future__ import annotations

from textual import events

from bas_tui.tui.drawing.cells import CellCanvas


class QuietFocus(CellCanvas, can_focus=True):
    """Textual repaints a whole widget when its focus changes: 20 to 90 kB for a picture.

    This one draws itself again instead, so that only what looks different is sent.
    """

    def draw(self) -> None:
        """Paint what is to be seen now; here, what was."""
        self.refresh()

    def on_focus(self, event: events.Focus) -> None:
        """What Widget does, but for the repaint."""
        event.prevent_default()
        self.has_focus = True
        if self.parent is not None:
            self.parent.post_message(events.DescendantFocus(self))
        self.draw()

    def on_blur(self, event: events.Blur) -> None:
        """What Widget does, but for the repaint."""
        event.prevent_default()
        self.has_focus = False
        if self.parent is not None:
            self.parent.post_message(events.DescendantBlur(self))
        self.draw()
