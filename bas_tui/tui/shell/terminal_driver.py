"""A terminal driver that writes as little as it can and counts what it writes."""

from __future__ import annotations

import time
from collections import deque

from textual.driver import Driver

from bas_tui.tui.shell.screen_diff import ScreenDiff

WINDOW = 3.0
"""Seconds over which the rate is averaged."""


class ByteMeter:
    """Bytes written to the terminal: the total and the rate of the last seconds."""

    def __init__(self) -> None:
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, data: str) -> None:
        """Count a write."""
        self.total += len(data) if data.isascii() else len(data.encode("utf-8", "replace"))

    def rate(self) -> float:
        """Kilobytes (1000 bytes) a second over the last WINDOW seconds; call it regularly."""
        now = time.monotonic()
        self._marks.append((now, self.total))
        while len(self._marks) > 2 and self._marks[1][0] <= now - WINDOW:
            self._marks.popleft()
        since, before = self._marks[0]
        return (self.total - before) / max(now - since, 0.2) / 1000


def thrifty(driver: type[Driver], meter: ByteMeter, screen: ScreenDiff) -> type[Driver]:
    """A driver class like `driver` that sends what `screen` lets through, counted by `meter`."""

    class ThriftyDriver(driver):  # pyright: ignore[reportImplicitAbstractClass]
        def write(self, data: str) -> None:
            if data := screen.reduce(data):
                meter.add(data)
                super().write(data)

    return ThriftyDriver
