"""What a person can do to a run: pause, go on, stop, checkpoint, preview, start its host again."""

from __future__ import annotations

import threading
from typing import Any

from textual.message import Message

from bas_tui.run_state import RunState
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.loss_chart import next_cadence
from engine.core.errors import BasError
from engine.runs.folder import RunDir

CONTROLS = ("pause", "stop", "checkpoint", "preview", "cadence")


class RunControl:
    """Sends commands to a run's host in a thread and posts what it answered."""

    class Answered(Message):
        """The host answered a command, or could not."""

        def __init__(self, run: RunDir, text: str, command: str, error: BasError | None) -> None:
            super().__init__()
            self.run = run
            self.text = text
            self.command = command
            self.error = error

    def __init__(
        self, screen: BasScreen, run: RunDir, *, allowed: bool, preview_every: int
    ) -> None:
        self._screen = screen
        self.run = run
        self.allowed = allowed
        """Whether this view may change the run."""
        self.preview_every = preview_every
        """Steps between previews as last asked for; 0: none."""

    def possible(self, action: str, state: RunState) -> bool:
        """Whether an action makes sense now: nothing that changes a run in a read-only view."""
        if action in CONTROLS:
            return self.allowed and not state.over
        if action == "resume":
            return self.allowed and state.over and state.status != "finished"
        return True

    def pause(self, state: RunState) -> None:
        """Pause, or go on."""
        name = self.run.name
        if state.status == "paused":
            self._send("goes on", "resume", f"bas resume {name}")
        else:
            self._send("pauses after this step", "pause", f"bas pause {name}")

    def stop(self) -> None:
        """Stop with a checkpoint, after a question."""
        name = self.run.name

        def answered(sure: bool | None) -> None:
            if sure:
                self._send("stopping; a checkpoint is written", "stop", f"bas stop {name}")

        self._screen.app.push_screen(
            Confirm(
                f"Stop training {name}?",
                f"A checkpoint is written; `bas resume {name}` goes on from it.\n"
                "To close only this window, press q instead.",
                yes="Stop training",
                no="Go on",
            ),
            answered,
        )

    def start(self) -> None:
        """Start a host for a run that stopped."""
        self._screen.say("starting the host ...")
        self._send("the host goes on", "start", f"bas resume {self.run.name}")

    def checkpoint(self) -> None:
        """Write a checkpoint."""
        self._send("a checkpoint is written after this step", "checkpoint")

    def preview(self) -> None:
        """Draw a preview."""
        self._send("a preview is drawn after this step", "preview")

    def cadence(self, direction: int, total_steps: int) -> None:
        """Previews more or less often."""
        every = next_cadence(self.preview_every, direction, total_steps)
        self.preview_every = every
        text = f"a preview every {every} steps" if every else "previews only on request"
        self._send(text, "set", key="preview.every", value=every)

    def _send(self, text: str, word: str, command: str = "", **values: Any) -> None:
        threading.Thread(
            target=self._work, args=(text, word, command, values), name=f"{word}-{self.run.name}",
            daemon=True,
        ).start()  # fmt: skip

    def _work(self, text: str, word: str, command: str, values: dict[str, Any]) -> None:
        from bas_tui import client

        error: BasError | None = None
        try:
            if word == "start":
                client.start_host(self.run)
            else:
                client.send(self.run, word, **values)
        except BasError as problem:
            error = problem
        self._screen.post_message(self.Answered(self.run, text, command, error))
