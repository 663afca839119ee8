"""Follows one run in a thread and tells the screen when there is something new to see.

The thread folds events into a state (`bas_tui.run_state`) and never touches a widget. It announces
at most one message at a time; the screen takes the newest state when it is ready to paint.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from bas_tui.error_log import unexpected
from bas_tui.run_state import RunState, interrupted, reduce, reduce_all
from bas_tui.tui.shell.screen import Done
from engine.runs.event_reading import read_events
from engine.runs.events import (
    Event,
    Paused,
    PreviewSaved,
    Progress,
    Resumed,
    RunEnded,
    RunStarted,
    SettingChanged,
)
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid

REVIVAL_SECONDS = 1.0
"""How often an ended run is looked at: another terminal may resume it."""
URGENT = (Paused, Resumed, RunEnded, RunStarted, PreviewSaved, SettingChanged)


class Feed:
    """The live state of one run."""

    class Changed(Message):
        """There is a newer state; `urgent` asks to paint it now."""

        def __init__(self, feed: Feed, urgent: bool) -> None:
            super().__init__()
            self.feed = feed
            self.urgent = urgent

    def __init__(self, run: RunDir, post: Callable[[Message], object]) -> None:
        self.run = run
        self._post = post
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._state = RunState()
        self._announced = False
        self._thread = threading.Thread(target=self._work, name=f"feed-{run.name}", daemon=True)

    def start(self) -> None:
        """Read the history, announce it, then go on live."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; returns at once."""
        self._stop.set()
        self._wake.set()

    def wake(self) -> None:
        """A host was started: look now."""
        self._wake.set()

    def take(self) -> RunState:
        """The newest state; the next change is announced again."""
        with self._lock:
            self._announced = False
            return self._state

    def _work(self) -> None:
        try:
            self._follow()
        except Exception as error:  # Else the run would seem to stand still for ever.
            what = f"{self.run.name} is followed no longer"
            self._post(Done("", "", unexpected(error, what)))

    def _follow(self) -> None:
        state = reduce_all(read_events(self.run))
        if host_pid(self.run) is None:
            state = interrupted(state)
        self._publish(state, urgent=True)
        # Not needed for the history, so its import must not delay the first picture.
        from bas_tui import client

        while not self._stop.is_set():
            for event in client.follow(self.run, state.seq + 1, self._stop, machine=True):
                state = reduce(state, event)
                self._publish(state, _is_urgent(event))
            if self._stop.is_set():
                return
            if host_pid(self.run) is None and not state.over:
                state = interrupted(state)
                self._publish(state, urgent=True)
            while not self._stop.is_set() and host_pid(self.run) is None:
                self._wake.wait(REVIVAL_SECONDS)
                self._wake.clear()

    def _publish(self, state: RunState, urgent: bool) -> None:
        with self._lock:
            self._state = state
            quiet = self._announced and not urgent
            self._announced = True
        if not quiet and not self._stop.is_set():
            self._post(self.Changed(self, urgent))


def _is_urgent(event: Event) -> bool:
    return isinstance(event, URGENT) or (isinstance(event, Progress) and event.done == 0)
