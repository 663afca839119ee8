"""What the Train screen can do to a run: pause, resume, stop, checkpoint, preview now."""

from __future__ import annotations

from functools import partial
from typing import Any

from textual import on
from textual.message import Message

from bas_tui.run_state import RunState
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.loss_chart import next_cadence
from engine.core.errors import BasError
from engine.runs.folder import RunDir

CONTROLS = ("pause", "stop", "checkpoint", "preview", "cadence")


class TrainControl(BasScreen):
    """Sends commands to the host in a thread and says what it answered."""

    class Answered(Message):
        """The host answered a command, or could not."""

        def __init__(self, text: str, command: str, error: BasError | None) -> None:
            super().__init__()
            self.text = text
            self.command = command
            self.error = error

    def __init__(self) -> None:
        super().__init__()
        self._run: RunDir | None = None
        self._state = RunState()
        self._control = True
        """Whether this view may change the run."""
        self._told = ""
        """The failure that has been shown, by status."""
        self._preview_every = 0

    def _paint(self, live: bool = False) -> None:
        """Paint all panes."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is possible: nothing that changes a run in a read-only view."""
        del parameters
        state = self._state
        if action in CONTROLS:
            return self._control and not state.over and self._run is not None
        if action == "resume":
            return self._control and state.over and state.status != "finished"
        return True

    def _send(self, text: str, word: str, command: str = "", **values: Any) -> None:
        run = self._run
        if run is not None:
            self.run_worker(partial(self._work, run, text, word, command, values), thread=True)

    def _work(
        self, run: RunDir, text: str, word: str, command: str, values: dict[str, Any]
    ) -> None:
        from bas_tui import client

        error: BasError | None = None
        try:
            if word == "start":
                client.start_host(run)
            else:
                client.send(run, word, **values)
        except BasError as problem:
            error = problem
        self.post_message(self.Answered(text, command, error))

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        if event.error is not None:
            self.bas.show_error(event.error)
        else:
            self.say(event.text, command=event.command)

    def action_pause(self) -> None:
        """Pause, or go on."""
        name = self._run.name if self._run else ""
        if self._state.status == "paused":
            self._send("goes on", "resume", f"bas resume {name}")
        else:
            self._send("pauses after this step", "pause", f"bas pause {name}")

    def action_stop(self) -> None:
        """Stop with a checkpoint, after a question."""
        from bas_tui.tui.shell.dialogs import Confirm

        if self._run is None:
            return
        name = self._run.name

        def answered(sure: bool | None) -> None:
            if sure:
                self._send("stopping; a checkpoint is written", "stop", f"bas stop {name}")

        self.app.push_screen(
            Confirm(
                f"Stop training {name}?",
                f"A checkpoint is written; `bas resume {name}` goes on from it.\n"
                "To close only this window, press q instead.",
                yes="Stop training",
                no="Go on",
            ),
            answered,
        )

    def action_resume(self) -> None:
        """Start a host for a run that stopped."""
        if self._run is not None:
            self._told = ""
            self.say("starting the host ...")
            self._send("the host goes on", "start", f"bas resume {self._run.name}")

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        self._send("a checkpoint is written after this step", "checkpoint")

    def action_preview(self) -> None:
        """Draw a preview."""
        self._send("a preview is drawn after this step", "preview")

    def action_cadence(self, direction: int) -> None:
        """Previews more or less often."""
        every = next_cadence(self._preview_every, direction, self._state.total_steps)
        self._preview_every = every
        text = f"a preview every {every} steps" if every else "previews only on request"
        self._send(text, "set", key="preview.every", value=every)
        self._paint()

    def action_copy(self) -> None:
        """Copy the run's name."""
        if self._run is not None:
            self.bas.copy(self._run.name)
