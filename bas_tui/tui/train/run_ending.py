"""Tells a person, once, how the run on the screen ended: a failure, or what was learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bas_tui.run_health import Failure, failure_of
from bas_tui.run_state import RunState
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.closing_card import ClosingCard
from bas_tui.tui.train.failure_screen import FailureScreen, log_tail
from bas_tui.tui.train.run_control import RunControl


class RunEnding:
    """Opens the dialogs of one run's end over its screen, and acts on their answers."""

    def __init__(
        self, screen: BasScreen, control: RunControl, settings: Callable[[], Mapping[str, Any]]
    ) -> None:
        """`settings` are the run's; each host may begin with others."""
        self._screen, self._control, self._settings = screen, control, settings
        self._seen_alive = False
        """Whether the run was at work since its end was last told."""
        self._told = ""
        """The status whose failure was told."""

    def failure(self, state: RunState) -> Failure | None:
        """What went wrong; None while a new start is under way."""
        if self._control.pending():
            return None
        return failure_of(self._control.run, state, self._settings())

    def forget(self) -> None:
        """Something was asked for: what comes of it is told anew."""
        self._told = ""

    def look(self, state: RunState) -> None:
        """Tell what is new about the end; only over the run's own screen, so that nobody's typing
        elsewhere lands in a dialog. Call it again when the screen comes back."""
        if not state.over:
            self._seen_alive = self._seen_alive or state.seq >= 0
            # Another terminal may have resumed it: the same failure is then another one.
            self._told = ""
        failure = self.failure(state)
        if failure is not None and self._told != state.status:
            if self._is_shown(f"{failure.title}: F4 shows it"):
                self._told = state.status
                self._tell_failure(failure)
        elif (
            state.status == "finished"
            and self._seen_alive
            and self._is_shown(f"{self._control.run.name} has finished: F4 shows it")
        ):
            self._seen_alive = False
            self.show_card(state)

    def _is_shown(self, words: str) -> bool:
        """Whether the run's screen is in view; if not, `words` are said where the person is."""
        shown = self._screen.is_current
        if not shown:
            self._screen.bas.say(words)
        return shown

    def show_card(self, state: RunState) -> None:
        """What the run has learned."""
        run, screen = self._control.run, self._screen

        def answered(answer: str | None) -> None:
            if answer in ("compose", "edit"):
                screen.call_later(screen.bas.go, answer, run=run)
            elif answer == "export":
                screen.action_export()

        screen.app.push_screen(ClosingCard(run.name, state, run.path), answered)

    def _tell_failure(self, failure: Failure) -> None:
        control, screen = self._control, self._screen

        def answered(answer: str | None) -> None:
            # The run that failed, whatever the screen shows by now.
            if answer == "resume":
                control.start(failure.changes)
            elif answer == "copy":
                screen.bas.copy(failure.command)

        tail = partial(log_tail, control.run)
        screen.app.push_screen(FailureScreen(failure, tail, control.allowed), answered)
