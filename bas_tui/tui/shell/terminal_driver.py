"""A terminal driver that writes as little as it can and counts what it writes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress

from textual.driver import Driver

from bas_tui.tui.shell.pace import Pace
from bas_tui.tui.shell.screen_diff import ScreenDiff

PART_SECONDS = 0.05
"""Between two parts of what is sent over a slow link."""
WINDOW = 3.0
"""Seconds over which the rate is averaged."""


class ByteMeter:
    """Bytes written to the terminal: the total and the rate of the last seconds."""

    def __init__(self) -> None:
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def add(self, data: str) -> int:
        """Count a write; its bytes."""
        count = len(data) if data.isascii() else len(data.encode("utf-8", "replace"))
        self.total += count
        return count

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
        _pace = Pace()
        _timer: asyncio.TimerHandle | None = None

        def write(self, data: str) -> None:
            self._send(screen.reduce(data))
            if screen.waiting and self._timer is None:
                self._send_part()

        def _send(self, data: str) -> None:
            if data:
                self._pace.spend(meter.add(data))
                super().write(data)

        def _send_part(self) -> None:
            """Of what waits as much as a slow link takes, and the rest in a moment."""
            self._timer = None
            if screen.waiting:
                self._send(screen.next_part(self._pace.left))
            # Copies are written by threads of their own; the next frame sends what waits then.
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                if screen.waiting:
                    self._timer = loop.call_later(PART_SECONDS, self._send_part)

    return ThriftyDriver
