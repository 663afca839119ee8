"""What the numbers of a run warn of, each with what helps; at most three lines."""

from __future__ import annotations

from textual.widgets import Static

from bas_tui.run_health import Failure, warnings_of
from bas_tui.run_state import RunState

MOST = 3
"""Warnings that are shown, here and at the end of a run."""


class WarningLines(Static):
    """Hidden while there is nothing to warn of."""

    def __init__(self) -> None:
        super().__init__(id="warnings", markup=False)

    def show(self, state: RunState, failure: Failure | None) -> None:
        """Say a failure first, then the warnings."""
        lines = [
            f"⚠ {warned.message} - {warned.remedy}"
            for warned in warnings_of(state)
            if failure is None or warned.kind != "nan"
        ]
        if failure is not None:
            lines.insert(0, f"✗ {failure.title} (step {state.step})   $ {failure.command}")
        text = "\n".join(lines[:MOST])
        if str(self.content) != text:
            self.update(text)
            self.set_class(bool(text), "-shown")
            self.set_class(failure is not None, "-failed")
