"""How much may be sent over a slow link, now."""

from __future__ import annotations

import time
from collections.abc import Callable

RATE, BURST = 18_000, 10_000
"""Bytes a second, and what may come at once after a pause: together at most 28 kB in any second."""


class Pace:
    """A bucket that fills at RATE up to BURST; who sends takes from it, also more than it has."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._at = clock()

    @property
    def left(self) -> float:
        """Bytes that may be sent; below 0 while too much was sent."""
        now = self._clock()
        self._left = min(BURST, self._left + RATE * (now - self._at))
        self._at = now
        return self._left

    def spend(self, count: int) -> None:
        """So many bytes are sent."""
        self._left = self.left - count
