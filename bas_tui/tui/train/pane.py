"""What the parts of the Train screen share: a title line, the focus, the run's state."""

from __future__ import annotations

from typing import ClassVar

from textual.geometry import Size

from bas_tui.run_state import RunState
from bas_tui.tui.drawing.cells import CellCanvas, Cells


def span_end(state: RunState) -> int:
    """Last step on the axis of a run: it doubles now and then, so that no curve creeps."""
    total = max(2, state.total_steps)
    end = 20
    while end < state.step:
        end *= 2
    return min(total, end) if state.step else total


class Pane(CellCanvas, can_focus=True):
    """A canvas under a title line that shows one view of a run.

    `show` gives it a state and the step to look at; it paints again by itself when it is resized
    or the theme changes.
    """

    HELP_TEXT: ClassVar[str] = ""

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.border_title = title
        self.state = RunState()
        self.at: int | None = None
        """Step under inspection; None follows the newest."""
        self._drawn = Size()

    def show(self, state: RunState, at: int | None) -> None:
        """Show a state, as of step `at`."""
        self.state, self.at = state, at
        self.draw()

    def draw(self) -> None:
        """Paint the state into the present size."""
        self._drawn = self.size
        if self.is_mounted and self.size:
            self.paint_pane()

    def paint_pane(self) -> None:
        """Paint; called only with a size. A pane of this class itself is empty."""
        self.paint(Cells.blank(self.size.height, self.size.width))

    def on_resize(self) -> None:
        """Paint into the new size."""
        self._fit()

    def on_mount(self) -> None:
        """Paint again whenever the theme or the size changes."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.call_later(self.draw))
        # A dialog that opens between a change of style and the layout draws this screen behind
        # itself. That arranges the screen, and the layout then sends no Resize.
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _screen: self._fit())

    def _fit(self) -> None:
        if self.size != self._drawn:
            self.draw()
