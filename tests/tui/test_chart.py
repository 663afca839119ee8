"""Axes, ticks and the braille chart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bas_tui.tui.drawing.axis import Axis, make_axis, nice_step, step_ticks, tick_label
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.chart import (
    BRAILLE,
    MARGIN,
    ChartView,
    Curve,
    column_of,
    draw_chart,
    step_at,
    value_axis,
)

WHITE, GREY = 0xFFFFFF, 0x444444


def curve(values: list[float], first: int = 1) -> Curve:
    array = np.array(values, dtype=np.float64)
    steps = np.arange(first, first + len(array), dtype=np.float64)
    return Curve(steps=steps, raw=array, average=array, color=WHITE, dim_color=GREY)


def text_of(cells: Cells) -> list[str]:
    return ["".join(map(chr, row)) for row in cells.chars]


@pytest.mark.parametrize(("low", "high"), [(0.013, 0.87), (3e-5, 2e-3), (0.4, 0.41), (1, 950)])
def test_log_ticks_are_one_two_five_and_hold_the_values(low: float, high: float) -> None:
    axis = make_axis(low, high, log=True, most=12)
    assert axis.low <= low
    assert axis.high >= high
    for tick in axis.ticks:
        mantissa = tick / 10 ** math.floor(math.log10(tick) + 1e-9)
        assert round(mantissa, 6) in (1, 2, 5)
    assert list(axis.ticks) == sorted(axis.ticks)
    positions = axis.position(np.array(axis.ticks))
    assert positions.min() >= -1e-9
    assert positions.max() <= 1 + 1e-9


def test_few_rows_leave_only_the_decades() -> None:
    axis = make_axis(1e-4, 1, log=True, most=5)
    assert axis.ticks == (1e-4, 1e-3, 1e-2, 1e-1, 1)


def test_linear_axis_starts_at_zero_with_round_steps() -> None:
    axis = make_axis(0.13, 0.87, log=False, most=5)
    assert axis.low == 0
    assert axis.high == 1
    assert axis.ticks == (0, 0.2, 0.4, 0.6, 0.8, 1)


def test_values_a_log_axis_cannot_show_have_no_position() -> None:
    axis = make_axis(0.01, 1, log=True, most=6)
    assert np.isnan(axis.position(np.array([0.0, -1.0, math.nan]))).all()


def test_round_steps() -> None:
    assert [nice_step(value) for value in (0.011, 1, 1.5, 3, 7)] == [0.02, 1, 2, 5, 10]
    assert step_ticks(1, 800, 4) == [200, 400, 600, 800]
    assert step_ticks(401, 800, 4) == [500, 600, 700, 800]


def test_labels_fit_the_margin() -> None:
    assert [tick_label(value) for value in (0, 0.001, 5e-5, 20.0)] == ["0", "0.001", "5e-05", "20"]
    assert all(len(tick_label(10.0**power)) < MARGIN for power in range(-9, 9))


def test_steps_and_columns_are_inverse() -> None:
    view = ChartView(first=1, last=800)
    for column in range(MARGIN, 80):
        assert column_of(step_at(column, view, 80), view, 80) == column


def test_a_falling_curve_falls() -> None:
    values = [10 ** (-2 * index / 99) for index in range(100)]
    cells = draw_chart([curve(values)], ChartView(first=1, last=100, raw=False), 13, 60)
    drawn = (cells.chars[:-1, MARGIN:] > BRAILLE) & (cells.fg[:-1, MARGIN:] == WHITE)
    tops = [int(np.flatnonzero(column)[0]) for column in drawn.T if column.any()]
    assert len(tops) == 60 - MARGIN
    assert tops == sorted(tops)
    assert tops[0] == 0
    assert tops[-1] == 11


def test_the_average_covers_single_steps_and_outliers_do_not_stretch_the_axis() -> None:
    rng = np.random.default_rng(0)
    raw = rng.uniform(0.05, 0.2, 300)
    raw[10] = 1e6
    smooth = np.full(300, 0.1)
    steps = np.arange(1, 301, dtype=np.float64)
    both = Curve(steps=steps, raw=raw, average=smooth, color=WHITE, dim_color=GREY)
    axis = value_axis([both], ChartView(first=1, last=300), 20)
    assert axis is not None
    assert axis.high <= 0.5
    cells = draw_chart([both], ChartView(first=1, last=300), 20, 60)
    assert (cells.fg == WHITE).sum() == 60 - MARGIN
    assert (cells.fg == GREY).sum() > 60


def test_not_a_number_leaves_a_gap_and_breaks_nothing() -> None:
    cells = draw_chart([curve([0.1] * 50 + [math.nan] * 50)], ChartView(first=1, last=100), 10, 50)
    drawn = (cells.fg[:-1, MARGIN:] == WHITE).any(axis=0)
    assert drawn[:20].all()
    assert not drawn[24:].any()


def test_averages_are_not_joined_across_phases() -> None:
    values = [1.0] * 50 + [0.01] * 50
    apart = draw_chart(
        [curve(values)], ChartView(first=1, last=100, raw=False, dividers=(51,)), 13, 60
    )
    joined = draw_chart([curve(values)], ChartView(first=1, last=100, raw=False), 13, 60)
    assert (apart.fg == WHITE).any(axis=1).sum() == 2
    assert (joined.fg == WHITE).any(axis=1).sum() == 12
    assert "phase 2" in "".join(text_of(apart))


@pytest.mark.parametrize("divider", [51, 97])
@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([0.1] * 100, 0),
        ([1.0] * 100, -1),
        ([0.0, 1.0] * 50, 0),
    ],
)
def test_curves_leave_the_name_of_a_phase_whole(
    values: list[float], row: int, divider: int
) -> None:
    axis = Axis(0.0, 1.0, False, (0.0, 0.5, 1.0))
    view = ChartView(first=1, last=100, log=False, axis=axis, dividers=(divider,))
    lines = text_of(draw_chart([curve(values)], view, 8, 50))[:-1]
    assert "phase 2" in lines[row]
    assert sum("phase 2" in line for line in lines) == 1


def test_zoom_shows_only_its_steps() -> None:
    values = [1.0] * 50 + [0.01] * 50
    cells = draw_chart([curve(values)], ChartView(first=51, last=100, dividers=(51,)), 13, 60)
    assert text_of(cells)[0].split("┤")[0].strip() == "0.02"


def test_ascii_and_tiny_charts() -> None:
    view = ChartView(first=1, last=100, ascii=True, cursor=30)
    text = "".join(text_of(draw_chart([curve([0.5, 0.1] * 50)], view, 10, 50)))
    assert text.isascii()
    assert "*" in text
    for rows, columns in ((0, 0), (1, 5), (2, 8), (3, 12)):
        assert draw_chart([curve([1.0, 2.0])], view, rows, columns).chars.shape == (rows, columns)
    assert draw_chart([], view, 10, 50).chars.shape == (10, 50)


def test_the_cursor_says_its_step() -> None:
    cells = draw_chart([curve([0.1] * 100)], ChartView(first=1, last=100, cursor=64), 10, 50)
    assert " 64 " in text_of(cells)[-1]
