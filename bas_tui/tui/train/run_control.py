"""What a person can do to a run: pause, go on, stop, checkpoint, preview, start its host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from textual.message import Message

from bas_tui.error_log import unexpected
from bas_tui.run_state import RunState
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.loss_chart import next_cadence
from engine.core.errors import BasError
from engine.core.settings import set_flags
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid

BEFORE = {"pause": ("resume", "stop"), "resume": ("pause", "stop")}
"""What must have come true before something else can be asked for."""
CONTROLS = ("pause", "stop", "checkpoint", "preview", "cadence")


class _Wish(NamedTuple):
    """Something asked for that has not come true yet."""

    state: str
    """The run's state until then, for the header; empty: the run goes on meanwhile."""
    patience: str
    """What to say to a second press."""
    fulfilled: Callable[[RunState], bool]


class RunControl:
    """Sends commands to a run's host in a thread and posts what it answered.

    What was asked for is known at once, by `pending`, and until the run's events show it.
    """

    class Answered(Message):
        """The host answered a command, or could not."""

        def __init__(
            self, by: RunControl, word: str, text: str, command: str, error: BasError | None
        ) -> None:
            super().__init__()
            self.by = by
            self.word = word
            self.text = text
            self.command = command
            self.error = error

    class Asked(Message):
        """Something was asked for: `pending` says another state."""

    def __init__(self, screen: BasScreen, run: RunDir, *, allowed: bool) -> None:
        self._screen = screen
        self.run = run
        self.allowed = allowed
        """Whether this view may change the run."""
        self._wishes: dict[str, _Wish] = {}
        self._every: int | None = None
        """Steps between previews that were asked for; None: the run draws as often as it says."""
        self._started = False
        """Whether a host that was asked for has taken the run."""

    def possible(self, action: str, state: RunState) -> bool:
        """Whether an action makes sense now: nothing that changes a run in a read-only view."""
        if action in CONTROLS:
            return self.allowed and not state.over and "start" not in self._wishes
        if action == "resume":
            return self.allowed and state.over and state.status != "finished"
        return True

    def pending(self) -> str:
        """The state of the run while something that was asked for is under way; else empty."""
        return next((wish.state for wish in self._wishes.values() if wish.state), "")

    def settle(self, state: RunState) -> None:
        """Forget the wishes that a newer state shows as come true."""
        self._wishes = {w: wish for w, wish in self._wishes.items() if not wish.fulfilled(state)}
        if state.preview_every == self._every:
            self._every = None

    def look_after_start(self, state: RunState) -> bool:
        """Whether a host that was started is gone again without a word; the wish ends then."""
        gone = self._started and "start" in self._wishes and state.over
        if gone and host_pid(self.run) is None:
            del self._wishes["start"]
            return True
        return False

    def answered(self, message: Answered) -> None:
        """Take an answer: what was refused is asked for no longer."""
        if message.error is not None:
            self._wishes.pop(message.word, None)
            if message.word == "set":
                self._every = None
        elif message.word == "start":
            self._started = True

    def pause(self, state: RunState) -> None:
        """Pause, or go on."""
        name = self.run.name
        if state.status == "paused":
            wish = _Wish("going on", "it goes on already", lambda s: s.status != "paused")
            self._ask("resume", wish, "goes on", f"bas resume {name}")
        else:
            wish = _Wish(
                "pausing", "the step under way ends first", lambda s: s.status == "paused" or s.over
            )
            self._ask("pause", wish, "pauses after this step", f"bas pause {name}")

    def stop(self) -> None:
        """Stop with a checkpoint, after a question."""
        name = self.run.name
        wish = _Wish("stopping", "it stops after the step under way", lambda s: s.over)
        if self._refused("stop"):
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self._ask("stop", wish, "stopping; a checkpoint is written", f"bas stop {name}")

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

    def start(self, changes: Mapping[str, str] | None = None) -> None:
        """Start a host for a run that has none, with changed settings where they are given."""
        wish = _Wish("starting", "the host is starting already", lambda s: not s.over)
        self._started = False
        self._ask(
            "start", wish, "the host has started",
            f"bas resume {self.run.name}{set_flags(changes or {})}", changes=dict(changes or {}),
        )  # fmt: skip

    def checkpoint(self, state: RunState) -> None:
        """Write a checkpoint."""
        count = len(state.checkpoints)
        wish = _Wish("", "a checkpoint is asked for already",
                     lambda s: s.over or len(s.checkpoints) != count)  # fmt: skip
        self._ask("checkpoint", wish, "a checkpoint is written after this step")

    def preview(self, state: RunState) -> None:
        """Draw a preview."""
        count = len(state.previews)
        wish = _Wish("", "a preview is asked for already",
                     lambda s: s.over or len(s.previews) != count)  # fmt: skip
        self._ask("preview", wish, "a preview is drawn after this step")

    def cadence(self, state: RunState, every: int, direction: int) -> None:
        """Previews more or less often than `every` steps, or than was asked for last."""
        now = every if self._every is None else self._every
        self._every = every = next_cadence(now, direction, state.total_steps)
        text = f"a preview every {every} steps" if every else "previews only on request"
        self._send("set", text, key="preview.every", value=every)

    def _refused(self, word: str) -> bool:
        """Say to a second press that the first one counts; whether it is one."""
        first = {word, *BEFORE.get(word, ())}
        waiting = next((wish for name, wish in self._wishes.items() if name in first), None)
        if waiting is not None:
            self._screen.say(waiting.patience)
        return waiting is not None

    def _ask(self, word: str, wish: _Wish, text: str, command: str = "", **values: Any) -> None:
        if self._refused(word):
            return
        self._wishes[word] = wish
        self._screen.post_message(self.Asked())
        self._send(word, text, command, **values)

    def _send(self, word: str, text: str, command: str = "", **values: Any) -> None:
        threading.Thread(
            target=self._work, args=(word, text, command, values), name=f"{word}-{self.run.name}",
            daemon=True,
        ).start()  # fmt: skip

    def _work(self, word: str, text: str, command: str, values: dict[str, Any]) -> None:
        from bas_tui import client

        error: BasError | None = None
        try:
            if word == "start":
                client.change_settings(self.run, values["changes"])
                client.start_host(self.run)
            else:
                client.send(self.run, word, **values)
        except BasError as problem:
            error = problem
        except Exception as problem:  # The run must not stay "starting" for ever.
            error = unexpected(problem, f"no {word} of {self.run.name}")
        self._screen.post_message(self.Answered(self, word, text, command, error))
