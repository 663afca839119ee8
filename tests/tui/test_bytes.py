"""A budget of bytes for a fixed replay: what the Train screen sends is counted, not timed.

The replay feeds the screen's panes the same states in the same order, so that the bytes depend on
nothing but the code. The requirement is 30 kB a second, and 8 kB on slow links; the limits here are
a third above what was measured, so that a change which costs bytes is noticed.
"""

from __future__ import annotations

import re

import pytest

from bas_tui.tui.drawing.terminal import Terminal
from tests.tui.measure import apart, bytes_per_redraw, paced_seconds, renditions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("first", "limit"), [(60, 5_000), (450, 1_200)])
def test_a_second_of_watching(first: int, limit: int) -> None:
    """Early on maps and axes still move (3.7 kB measured), later hardly anything (0.7 kB)."""
    cost = apart(bytes_per_redraw, Terminal(), (120, 36), first)
    assert 200 < cost < limit


def test_a_second_on_a_slow_link() -> None:
    """Two seconds a redraw: 2.6 kB measured for each."""
    slow = Terminal(colors=256, low_bandwidth=True)
    cost = apart(bytes_per_redraw, slow, (120, 36), 60)
    assert 200 < cost / slow.cadence < 1_800


def test_a_large_window() -> None:
    """Maps twice as large: 3.9 kB measured in truecolor."""
    cost = apart(bytes_per_redraw, Terminal(), (200, 60), 60)
    assert 200 < cost < 6_000


def test_a_burst_of_large_pictures_on_a_slow_link() -> None:
    """30 kB in any second, however fast somebody looks through pictures; at rest all is there."""
    most, total, there, wanted = apart(paced_seconds, (90, 28))
    assert total > 40_000
    assert most <= 30_000
    assert there == wanted and len(wanted) == 28


@pytest.mark.parametrize(
    ("terminal", "allowed"),
    [
        (Terminal(colors=16), r"0|1|2|3|4|7|39|49|[39][0-7]|4[0-7]|10[0-7]"),
        (Terminal(colors=256), r"0|1|2|3|4|7|39|49|[34]8;5;\d+"),
        (Terminal(low_bandwidth=True), r"0|1|2|3|4|7|39|49|[34]8;5;\d+"),
        (Terminal(colors=0), r"0|1|2|3|4|7|39|49"),
    ],
)
def test_no_more_colours_than_the_terminal_has(terminal: Terminal, allowed: str) -> None:
    sequences = apart(renditions, terminal)
    assert sequences
    for sequence in sequences:
        assert re.fullmatch(rf"(?:{allowed})(?:;(?:{allowed}))*", sequence), sequence
