"""The append-only log of a run: every event gets its number and its time here, and nowhere else.

A full disk costs no event: what cannot be written yet stays in memory, in order, and the viewers
have it all the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engine.runs.events import (
    CheckpointSaved,
    Event,
    PhaseStarted,
    RunEnded,
    RunStarted,
    to_line,
)

QUEUE_LINES = 2000
"""A viewer that is further behind loses lines; it sees the gap in `seq` and re-reads the file."""

TOLD_LINES = 150
"""So many of the last lines that are no part of the run get a new viewer, as history."""

SAFE_POINTS = (RunStarted, PhaseStarted, CheckpointSaved, RunEnded)
"""After these events the file is forced to disk."""


class _Viewer(NamedTuple):
    """Who follows, and what is wanted."""

    lines: queue.Queue[str]
    from_seq: int
    told: bool
    """Whether lines that are no part of the run are wanted, too."""

    def hand(self, line: str) -> None:
        # A full queue belongs to a slow viewer; the run never waits for it.
        if not self.lines.full():
            self.lines.put_nowait(line)


class EventLog:
    """Numbers, writes and fans out events. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._viewers: list[_Viewer] = []
        self._told: deque[str] = deque(maxlen=TOLD_LINES)
        self._next = _next_seq(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._unwritten = b""
        self.trouble: OSError | None = None
        """Why the last write failed; None when everything is on its way to the disk."""
        if path.stat().st_size and not _ends_with_newline(path):
            # The last host was killed within a line: close it, so that only that line is lost.
            self._unwritten = b"\n"

    @property
    def next_seq(self) -> int:
        """The number of the next event."""
        return self._next

    def append(self, event: Event) -> Event:
        """Write the event and hand it to the viewers; returns it with `seq` and `time`."""
        with self._lock:
            event = dataclasses.replace(event, seq=self._next, time=time.time())
            line = to_line(event)
            self._unwritten += line.encode() + b"\n"
            self._write(force=isinstance(event, SAFE_POINTS))
            for viewer in self._viewers:
                if self._next >= viewer.from_seq:
                    viewer.hand(line)
            self._next += 1
        return event

    def tell(self, event: Event) -> None:
        """Hand an event to the viewers that ask for such; it gets no number and is not written."""
        with self._lock:
            line = to_line(dataclasses.replace(event, seq=-1, time=time.time()))
            self._told.append(line)
            for viewer in self._viewers:
                if viewer.told:
                    viewer.hand(line)

    def follow(
        self, from_seq: int, closed: threading.Event, *, told: bool = False
    ) -> Iterator[str]:
        """Lines with `seq >= from_seq`: history first, then live until `closed` is set.

        `told`: also those of `tell`, the last ones before what is live.
        """
        viewer = _Viewer(queue.Queue(QUEUE_LINES), from_seq, told)
        with self._lock:
            first_live = self._next
            unwritten = self._unwritten
            before = tuple(self._told) if told else ()
            self._viewers.append(viewer)
        try:
            sent = from_seq - 1
            with self._path.open("rb") as file:
                for raw in _lines(file, unwritten):
                    seq = _seq_of(raw)
                    if seq is not None and sent < seq < first_live:
                        sent = seq
                        yield raw.decode().rstrip("\n")
            yield from before
            while True:
                try:
                    line = viewer.lines.get(timeout=0.25)
                except queue.Empty:
                    if closed.is_set():
                        return
                    continue
                yield line
        finally:
            with self._lock:
                self._viewers.remove(viewer)

    def retry(self) -> bool:
        """Write what could not be written; whether that is done now."""
        with self._lock:
            self._write(force=True)
        return self.trouble is None

    def close(self) -> None:
        """Force everything to disk."""
        with self._lock:
            self._write(force=True)
            os.close(self._file)

    def _write(self, *, force: bool) -> None:
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]
            if force:
                os.fsync(self._file)
            self.trouble = None
        except OSError as error:
            self.trouble = error


def _lines(file: BinaryIO, unwritten: bytes) -> Iterator[bytes]:
    """The lines of a log and of what is not on the disk yet, whose first may be half there."""
    half = b""
    for raw in file:
        if raw.endswith(b"\n"):
            yield raw
        else:
            half = raw
    yield from (half + unwritten).splitlines()


def _seq_of(line: bytes) -> int | None:
    try:
        seq = json.loads(line)["seq"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return seq if isinstance(seq, int) and 0 <= seq < 2**53 else None


def _next_seq(path: Path) -> int:
    """One above the highest number in the log."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return max((seq for seq in map(_seq_of, file) if seq is not None), default=-1) + 1


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
