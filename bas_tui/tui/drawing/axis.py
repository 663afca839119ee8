"""Axes with ticks at 1, 2 and 5 times powers of ten, on a linear or a logarithmic scale."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MANTISSAS = (1, 2, 5)


class Axis(NamedTuple):
    """A range of values with its ticks, all inside the range and ascending."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def position(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, 0 at `low` and 1 at `high`; not-a-number where they cannot be shown."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log(np.where(values > 0, values, np.nan))
        low, high = math.log(self.low), math.log(self.high)
        return (logs - low) / (high - low)


UNIT_AXIS = Axis(0.0, 1.0, False, (0.0, 0.5, 1.0))
"""For shares and IoU."""


def make_axis(low: float, high: float, log: bool, most: int) -> Axis:
    """An axis from at or below `low` to at or above `high` with at most about `most` ticks.

    The ends snap to ticks, so that a live curve rarely moves the axis.
    """
    most = max(2, most)
    if log and high > 0:
        return _log_axis(low, high, most)
    step = nice_step(max(high - min(low, 0.0), 1e-12) / most)
    first = math.floor(min(low, 0.0) / step)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    ticks = tuple(_clean(index * step) for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], False, ticks)


def _log_axis(low: float, high: float, most: int) -> Axis:
    low = max(low, high * 1e-9)
    fine = _mantissa_ticks(math.floor(math.log10(low)), math.ceil(math.log10(high)), MANTISSAS)
    bottom = max((tick for tick in fine if tick <= low * (1 + 1e-9)), default=fine[0])
    top = min((tick for tick in fine if tick >= high * (1 - 1e-9)), default=fine[-1])
    if bottom == top:
        index = fine.index(bottom)
        bottom, top = fine[max(0, index - 1)], fine[min(len(fine) - 1, index + 1)]
    inside = [tick for tick in fine if bottom <= tick <= top]
    if len(inside) > most:
        decades = [tick for tick in inside if math.log10(tick) % 1 < 1e-9]
        inside = decades[:: math.ceil(len(decades) / most)] if len(decades) > 1 else inside[::2]
    return Axis(bottom, top, True, tuple(inside))


def _mantissa_ticks(first: int, last: int, mantissas: tuple[int, ...]) -> list[float]:
    return [
        float(f"{mantissa}e{decade}")
        for decade in range(first - 1, last + 1)
        for mantissa in mantissas
    ]


def nice_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    for mantissa in (1, 2, 5, 10):
        if mantissa * power >= least * (1 - 1e-9):
            return _clean(mantissa * power)
    return 10 * power


def step_ticks(first: int, last: int, most: int) -> list[int]:
    """Round step numbers in `first`..`last`, at most about `most`."""
    step = max(1, round(nice_step(max(1, (last - first) / max(1, most)))))
    return list(range(math.ceil(first / step) * step, last + 1, step))


def tick_label(value: float) -> str:
    """At most six characters: 0.002, 5e-05, 20."""
    if value == 0:
        return "0"
    return f"{value:.0e}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:g}"


def _clean(value: float) -> float:
    return float(f"{value:.12g}")
