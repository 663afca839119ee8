"""Requests of a resident host: JSON lines, read on while one is answered, so that it can end."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from typing import Any, TextIO


class RequestLines:
    """Iterates over the requests, oldest first, until the input ends."""

    def __init__(self, lines: TextIO) -> None:
        self.cancelled: set[str] = set()
        """Names of requests that nobody wants any more."""
        self._lines = lines
        self._pending: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        threading.Thread(target=self._read, daemon=True).start()
        while (record := self._pending.get()) is not None:
            yield record

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
