"""One line that says which step of the past is looked at, and how to come back."""

from __future__ import annotations

import math

from textual.content import Content
from textual.widgets import Static

from bas_tui.run_state import RunState
from bas_tui.tui.shell.clickable import clickable


class HistoryBanner(Static):
    """Shown over the titles, and only while an earlier step is looked at: nothing moves for it."""

    DEFAULT_CSS = """
    HistoryBanner {
        position: absolute; offset: 0 0; layer: banner;
        width: 100%; height: 1; display: none; background: $accent; color: $background;
    }
    HistoryBanner.-shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(id="history-banner")
        self.auto_links = False

    def show(self, state: RunState, at: int | None) -> None:
        """Say the step `at`; None hides the line."""
        self.set_class(at is not None, "-shown")
        if at is not None:
            self.update(_text(state, at))


def _text(state: RunState, at: int) -> Content:
    back = "End: live" if not state.over else "End: last step"
    return Content.assemble(
        Content.styled(f" step {at} of {state.step}", "bold"),
        f"{_loss_at(state, at)} - ",
        clickable(Content.styled(back, "bold underline"), "screen.scrub_latest()"),
    )


def _loss_at(state: RunState, at: int) -> str:
    row = state.row_at(at)
    if row is None:
        return ""
    loss = f"  loss {row.ema_loss:.4f}" if math.isfinite(row.ema_loss) else ""
    return f"  phase {row.phase:.0f}{loss}"
