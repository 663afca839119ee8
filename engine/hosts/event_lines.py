"""Events of a host that writes them to its output: JSON lines, numbered and stamped."""

from __future__ import annotations

import dataclasses
import time
from typing import TextIO

from engine.runs.events import Event, to_line


class EventLines:
    """Called with an event, it writes its line; the first has number 0."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._next = 0

    def __call__(self, event: Event) -> None:
        """Write it with its number and the time, and hand it on at once."""
        numbered = dataclasses.replace(event, seq=self._next, time=time.time())
        self._lines.write(to_line(numbered) + "\n")
        self._lines.flush()
        self._next += 1
