"""Requests of a resident host: JSON lines, read on while one is answered, so that it can end."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TextIO

IDLE_SECONDS = 300.0
"""How long a host keeps its model for the next request."""


class RequestLines:
    """Iterates over the requests, oldest first, until the input ends.

    `idle` is called once whenever none has come for `IDLE_SECONDS`.
    """

    def __init__(self, lines: TextIO, idle: Callable[[], None]) -> None:
        self._idle = idle
        self.cancelled: set[str] = set()
        """Names of requests that nobody wants any more."""
        self._lines = lines
        self._pending: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        threading.Thread(target=self._read, daemon=True).start()
        while (record := self._next()) is not None:
            yield record

    def _next(self) -> dict[str, Any] | None:
        try:
            return self._pending.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._idle()
            return self._pending.get()

    def _read(self) -> None:
        for line in self._lines:
            try:
                record = json.loads(line)
            except ValueError:
                record = {}
            if not isinstance(record, dict):
                record = {}
            if record.get("command") == "cancel":
                self.cancelled.add(str(record.get("request")))
            elif line.strip():
                self._pending.put(record)
        self._pending.put(None)
