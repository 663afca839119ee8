"""Durations in words."""

from __future__ import annotations

PHASE2_COST = 2.9
"""Cost of a phase-2 step in phase-1 steps (5.10 / 1.77 TFLOPs on SD 2.1-base), where only one of
them has been measured."""


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
