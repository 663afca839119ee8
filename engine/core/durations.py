"""Durations in words."""

from __future__ import annotations

import math
import time

PHASE2_COST = 2.9
"""Cost of a phase-2 step in phase-1 steps (5.10 / 1.77 TFLOPs on SD 2.1-base), where only one of
them has been measured."""


def clock(seconds: float | None) -> str:
    """`0:35`, `12:05`, `3:20:15`; `-` where unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say_age(created: float, now: float | None = None) -> str:
    """`just now`, `5 min`, `3 h`, `2 days`, or a date; both in seconds since the epoch."""
    seconds = (time.time() if now is None else now) - created
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 86400:
        return f"{seconds / 3600:.0f} h"
    if seconds < 14 * 86400:
        days = round(seconds / 86400)
        return f"{days} day{'s' if days > 1 else ''}"
    return time.strftime("%Y-%m-%d", time.localtime(created))


def say_seconds(pair: tuple[float, float]) -> str:
    """`40-55 s`, `2-3 min`, `24 s to 3 min`: a range with its units."""
    (low, low_unit), (high, high_unit) = map(_in_unit, pair)
    if low_unit != high_unit:
        return f"{low} {low_unit} to {high} {high_unit}"
    return f"{low} {low_unit}" if low == high else f"{low}-{high} {low_unit}"


def _in_unit(seconds: float) -> tuple[str, str]:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return (f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")), unit
    return f"{seconds:.0f}", "s"
