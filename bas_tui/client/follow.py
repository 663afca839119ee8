"""Follows a run's events: the file's history first, then the live host, until its last word."""

from __future__ import annotations

import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterator

from bas_tui.client.host_process import connect
from engine.core.errors import UserError
from engine.runs.events import Event, MachineLoad, RunEnded, from_line
from engine.runs.folder import RunDir
from engine.runs.liveness import host_first_seq, host_pid

POLL_SECONDS = 0.15
RETRY_SECONDS = 0.5
"""How often the file is looked at where there is no socket, and `stop` in any case."""
CHUNK = 1 << 16
SEQ = re.compile(rb'"seq":\s*(\d+)')
"""Lets a viewer skip what it has seen without parsing it."""


def follow(
    run: RunDir, from_seq: int = 0, stop: threading.Event | None = None, *, machine: bool = False
) -> Iterator[Event]:
    """Every event with `seq >= from_seq`, in order and without gaps, as it happens.

    `machine`: between them also how busy the host's machine is, while it lives.

    Ends after the host's RunEnded, when the host is gone (`engine.runs.liveness.host_pid(run)` is
    None and no RunEnded came last: it was killed), or soon after `stop` is set. A consumer may take
    as long as it likes: the host drops what a slow viewer does not fetch, and the file has it.
    """
    reader = _LogReader(run, from_seq)
    stop = stop or threading.Event()
    link: _Link | None = None
    retry_at = 0.0
    try:
        while not stop.is_set():
            if link is None:
                # Ask before reading: what a host wrote before it went is then surely read.
                alive = host_pid(run) is not None
                last: Event | None = None
                for last in reader.read():
                    yield last
                    if stop.is_set():
                        return
                if not alive or (isinstance(last, RunEnded) and _is_of_this_host(run, last)):
                    return
                if time.monotonic() >= retry_at:
                    link = _Link.open(run, reader.next_seq, machine=machine)
                    retry_at = time.monotonic() + RETRY_SECONDS
                if link is None:
                    stop.wait(POLL_SECONDS)
                continue
            lines = link.lines()
            if lines is None:  # The host hung up: it ends, or this viewer was too slow.
                link.close()
                link = None
                continue
            for line in lines:
                event = _parse(line)
                if isinstance(event, MachineLoad):
                    yield event
                    continue
                if event is None or event.seq < reader.next_seq:
                    continue
                if event.seq > reader.next_seq:
                    yield from reader.read(before=event.seq)
                reader.next_seq = event.seq + 1
                yield event
                if stop.is_set() or (isinstance(event, RunEnded) and _is_of_this_host(run, event)):
                    return
    finally:
        if link is not None:
            link.close()


class _LogReader:
    """Reads events.jsonl from where it stopped; knows which `seq` is due."""

    def __init__(self, run: RunDir, from_seq: int) -> None:
        self.next_seq = from_seq
        self._path = run.events
        self._offset = 0

    def read(self, before: int | None = None) -> Iterator[Event]:
        """Events that are complete on disk and not yet seen, up to `seq` before `before`."""
        while True:
            lines = self._block()
            if not lines:
                return
            for line in lines:
                if before is not None and self.next_seq >= before:
                    return
                self._offset += len(line)
                number = SEQ.search(line)
                if number is None or int(number.group(1)) < self.next_seq:
                    continue
                event = _parse(line)
                if event is not None and event.seq >= self.next_seq:
                    self.next_seq = event.seq + 1
                    yield event

    def _block(self) -> list[bytes]:
        """The next whole lines on disk; a torn last line waits for its rest."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(16 * CHUNK)
                while data and b"\n" not in data:
                    more = file.read(16 * CHUNK)
                    if not more:
                        return []
                    data += more
        except OSError:
            return []
        return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


class _Link:
    """A control-socket connection that hands out whole lines."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._rest = b""

    @classmethod
    def open(cls, run: RunDir, from_seq: int, *, machine: bool) -> _Link | None:
        """A connection that asked for events from `from_seq` on; None where nobody listens."""
        try:
            link = connect(run)
        except OSError:
            return None
        try:
            hello = {"from": from_seq, **({"machine": True} if machine else {})}
            link.sendall(json.dumps(hello).encode() + b"\n")
        except OSError:
            link.close()
            return None
        return cls(link)

    def lines(self) -> list[bytes] | None:
        """Whole lines that arrived within a moment; None when the host hung up."""
        try:
            ready, _, _ = select.select([self._socket], [], [], POLL_SECONDS)
            if not ready:
                return []
            chunk = self._socket.recv(CHUNK)
        except OSError:
            return None
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines

    def close(self) -> None:
        self._socket.close()


def _parse(line: bytes) -> Event | None:
    if not line.strip():
        return None
    try:
        return from_line(line)
    except UserError:
        return None


def _is_of_this_host(run: RunDir, ended: RunEnded) -> bool:
    """Whether a RunEnded is the live host's; after a resume the older one's comes first."""
    first = host_first_seq(run)
    return first is None or ended.seq >= first
