"""A resident host: a process that keeps a model loaded and answers requests, one line each."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from bas_tui.client.host_process import fresh_log, host_command, host_environment, last_words
from engine.core.errors import UserError
from engine.runs.events import Event, from_line
from engine.runs.folder import home

CLOSE_SECONDS = 2.0


class Request(Protocol):
    """What such a process is asked."""

    @property
    def request(self) -> str:
        """Its name; the events of its answer carry it."""
        ...

    def line(self) -> str:
        """It as one JSON line."""
        ...


class Answers(Iterator[Event]):
    """The events of one request, up to its last.

    An interrupt (Ctrl-C) while waiting loses nothing: the iteration can go on.
    """

    def __init__(self, mailbox: queue.SimpleQueue[Event], last: type[Event]) -> None:
        self._mailbox, self._last = mailbox, last
        self._ended = False

    def __next__(self) -> Event:
        if self._ended:
            raise StopIteration
        event = self._mailbox.get()
        self._ended = isinstance(event, self._last)
        return event


class _Pending(NamedTuple):
    process: subprocess.Popen[bytes]
    mailbox: queue.SimpleQueue[Event]


class Resident:
    """Owns one process; started by the first request, started anew if it died.

    Any thread may submit, cancel or close. A process that dies ends its requests as failed, so that
    an iterator of answers always ends. The process ends at the end of its input, hence with this
    one, however this one ends.
    """

    def __init__(self, command: str, what: str, last: type[Any]) -> None:
        """`python -m engine COMMAND`, `what` it is for people, and the last event of a request.

        That has the fields request, outcome, message and remedy.
        """
        self._command, self._what, self._last = command, what, last
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._open: dict[str, _Pending] = {}
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """What the process says besides events: warnings and tracebacks of libraries."""
        return home() / f"{self._command}.log"

    @property
    def pid(self) -> int | None:
        """Of the process; None before the first request."""
        return None if self._process is None else self._process.pid

    def submit(self, request: Request) -> Answers:
        """Hand a request in now; the iterator yields its events."""
        mailbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        with self._lock:
            if self._closed:
                raise UserError(f"the {self._what} process is closed", "start a new one")
            process = self._running()
            self._open[request.request] = _Pending(process, mailbox)
            with contextlib.suppress(OSError):  # Should it just have died, its reader ends this.
                self._write(process, request.line())
        return Answers(mailbox, self._last)

    def cancel(self, request: str | None = None) -> None:
        """Ask for the end of a request, or of all; their iterators still end with a last event."""
        with self._lock, contextlib.suppress(OSError):
            for name in [name for name in self._open if request in (None, name)]:
                if self._process is not None:
                    self._write_cancel(self._process, name)

    def close(self) -> None:
        """End the process, by word first and by force at last; open requests end as cancelled."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            left = list(self._open)
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            for request in left:
                self._write_cancel(process, request)
            process.stdin.close()
        for last_resort in (process.terminate, process.kill):
            try:
                process.wait(CLOSE_SECONDS)
                return
            except subprocess.TimeoutExpired:
                last_resort()
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        with fresh_log(self.log) as log:
            process = subprocess.Popen(
                host_command(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C is this process's business: it cancels, the model stays loaded.
                start_new_session=True,
                env=host_environment(),
            )
        self._process = process
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return process

    def _write_cancel(self, process: subprocess.Popen[bytes], request: str) -> None:
        self._write(process, json.dumps({"command": "cancel", "request": request}))

    @staticmethod
    def _write(process: subprocess.Popen[bytes], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = from_line(line)
            except UserError:
                continue  # A library printed to stdout.
            if event is not None:
                self._deliver(event)
        process.wait()
        with self._lock:
            closing = self._closed
            left = [key for key, pending in self._open.items() if pending.process is process]
        message = "closed" if closing else f"the {self._what} process ended: {last_words(self.log)}"
        remedy = "ask again" if closing else f"ask again; the whole story is in {self.log}"
        outcome = "cancelled" if closing else "failed"
        for request in left:
            self._deliver(
                self._last(request=request, outcome=outcome, message=message, remedy=remedy)
            )

    def _deliver(self, event: Event) -> None:
        """To the request the event names; one that names none belongs to the oldest request."""
        request: str | None = getattr(event, "request", None)
        with self._lock:
            key = request if request is not None else next(iter(self._open), None)
            pending = self._open.get(key) if key is not None else None
            if key is not None and isinstance(event, self._last):
                self._open.pop(key, None)
        if pending is not None:
            pending.mailbox.put(event)
