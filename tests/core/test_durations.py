"""Durations in words."""

from __future__ import annotations

import math

import pytest

from engine.core.durations import clock, say_age, say_seconds


def test_ranges_are_said_in_their_units() -> None:
    assert say_seconds((14, 16)) == "14-16 s"
    assert say_seconds((60, 180)) == "60 s to 3 min"
    assert say_seconds((5400, 7200)) == "1.5-2 h"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "just now"), (300, "5 min"), (7200, "2 h"), (90000, "1 day"), (3 * 86400, "3 days")],
)
def test_ages(seconds: float, text: str) -> None:
    assert say_age(1000.0, 1000.0 + seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(35.2, "0:35"), (725, "12:05"), (12015, "3:20:15"), (None, "-"), (math.nan, "-")],
)
def test_clocks(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text
