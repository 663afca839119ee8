"""Which step of a run is looked at: the newest, or one in its past."""

from __future__ import annotations

from bas_tui.run_state import RunState


class HistoryCursor:
    """Moves through a history; past the newest step the view is live again."""

    def __init__(self) -> None:
        self.at: int | None = None
        """The step under inspection; None follows the newest."""

    def move(self, state: RunState, steps: int) -> bool:
        """Move by steps; whether another step is looked at."""
        if not len(state.history):
            return False
        here = self.at if self.at is not None else int(state.history[-1].step)
        return self.go(state, here + steps)

    def go(self, state: RunState, step: int | None) -> bool:
        """Look at a step, or (None) at the newest; whether that is another one."""
        before = self.at
        if step is None or not len(state.history):
            self.at = None
        else:
            first, newest = int(state.history[0].step), int(state.history[-1].step)
            self.at = None if step >= newest else max(first, step)
        return self.at != before
