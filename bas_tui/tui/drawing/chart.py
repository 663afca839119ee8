"""The loss chart as a grid of cells: braille lines, dim dots for single steps, 1-2-5 ticks.

Everything is vectorised: a redraw of 800 steps costs about a millisecond, so that keys never wait
for it. A braille cell is 2 dots wide and 4 high; arrays of dots are (rows * 4, columns * 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bas_tui.tui.drawing.axis import Axis, make_axis, step_ticks, tick_label
from bas_tui.tui.drawing.cells import OWN, SPACE, Cells

Floats = NDArray[np.float64]

MARGIN = 7
"""Columns left of the plot: a label of six and the axis."""
BRAILLE = 0x2800
_DOT_BITS = np.array([[1, 8], [2, 16], [4, 32], [64, 128]], dtype=np.uint8)
_SMOOTH = 0.3
"""Weight of the newest value in `smooth`."""
_KEEP = 0.01
"""Share of the single steps at either end that may lie outside the axis: outliers."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One loss part: single values and their moving average at `steps` (ascending)."""

    steps: Floats
    raw: Floats
    average: Floats
    color: int
    dim_color: int


@dataclass(frozen=True, kw_only=True)
class ChartView:
    """What the chart shows and how."""

    first: int
    last: int
    log: bool = True
    raw: bool = True
    cursor: int | None = None
    dividers: tuple[int, ...] = ()
    """First steps of later phases; averages are not joined across them."""
    axis: Axis | None = None
    """The value axis; None: chosen from the curves."""
    ascii: bool = False
    ink: int = OWN
    faint: int = OWN
    accent: int = OWN
    highlight: int = OWN


def smooth(values: Sequence[float]) -> Floats:
    """An exponential moving average that starts at the first value."""
    curve = np.array(values, dtype=np.float64)
    for index in range(1, len(curve)):
        curve[index] = curve[index - 1] + _SMOOTH * (curve[index] - curve[index - 1])
    return curve


def plot_columns(columns: int) -> int:
    """Columns of the plot inside a chart of so many columns."""
    return max(1, columns - MARGIN)


def column_of(step: float, view: ChartView, columns: int) -> int:
    """Column of the chart in which a step is drawn."""
    width = plot_columns(columns)
    share = (step - view.first) / max(1, view.last - view.first)
    return MARGIN + int(np.clip(round(share * (width - 1)), 0, width - 1))


def step_at(column: int, view: ChartView, columns: int) -> int:
    """Step under a column of the chart."""
    width = plot_columns(columns)
    share = np.clip((column - MARGIN) / max(1, width - 1), 0, 1)
    return round(view.first + float(share) * (view.last - view.first))


def value_axis(curves: Sequence[Curve], view: ChartView, rows: int) -> Axis | None:
    """The axis that holds the averages and nearly all single steps; None without a value."""
    parts: list[Floats] = []
    for curve in curves:
        inside = (curve.steps >= view.first) & (curve.steps <= view.last)
        parts.append(curve.average[inside])
        if view.raw:
            raw = curve.raw[inside]
            raw = raw[np.isfinite(raw)]
            if view.log:
                raw = raw[raw > 0]
            if len(raw) > 20:
                parts.append(np.quantile(raw, [_KEEP, 1 - _KEEP]))
            else:
                parts.append(raw)
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if view.log:
        values = values[values > 0]
    if not len(values):
        return None
    return make_axis(float(values.min()), float(values.max()), view.log, int(0.7 * rows))


def draw_chart(curves: Sequence[Curve], view: ChartView, rows: int, columns: int) -> Cells:
    """The chart in (rows, columns) cells; the last row holds the step numbers."""
    cells = Cells.blank(rows, columns)
    height, width = rows - 1, plot_columns(columns)
    if height < 2 or columns <= MARGIN + 4:
        return cells
    axis = view.axis or value_axis(curves, view, height)
    _draw_frame(cells, view, axis, height, columns)
    if axis is not None:
        bits = np.zeros((height, width), dtype=np.uint8)
        colors = np.full((height, width), OWN, dtype=np.int32)
        if view.raw:
            for curve in curves:
                _stamp(bits, colors, _dots(curve, view, axis, height, width), curve.dim_color)
        lines = np.zeros_like(bits)
        for curve in curves:
            _stamp(lines, colors, _line(curve, view, axis, height, width), curve.color)
        shown = lines > 0
        if view.ascii:
            chars = np.where(shown, ord("*"), np.where(bits > 0, ord("."), SPACE))
        else:
            both = np.where(shown, lines, bits)
            chars = np.where(both > 0, BRAILLE + both.astype(np.uint32), SPACE)
        plot = cells.chars[:height, MARGIN:]
        drawn = chars != SPACE
        plot[drawn] = chars[drawn]
        cells.fg[:height, MARGIN:][drawn] = colors[drawn]
    _name_phases(cells, view, height, columns)
    if view.cursor is not None:
        _draw_cursor(cells, view, height, columns)
    return cells


def _stamp(
    bits: NDArray[np.uint8], colors: NDArray[np.int32], dots: NDArray[np.bool_], color: int
) -> None:
    height, width = bits.shape
    packed = (dots.reshape(height, 4, width, 2) * _DOT_BITS[None, :, None, :]).sum(axis=(1, 3))
    hit = packed > 0
    bits[hit] |= packed[hit].astype(np.uint8)
    colors[hit] = color


def _dot_columns(steps: Floats, view: ChartView, width: int) -> NDArray[np.int64]:
    share = (steps - view.first) / max(1, view.last - view.first)
    return np.round(share * (2 * width - 1)).astype(np.int64)


def _dots(curve: Curve, view: ChartView, axis: Axis, height: int, width: int) -> NDArray[np.bool_]:
    dots = np.zeros((height * 4, width * 2), dtype=np.bool_)
    at = axis.position(curve.raw)
    x = _dot_columns(curve.steps, view, width)
    inside = np.isfinite(at) & (at >= 0) & (at <= 1) & (x >= 0) & (x < 2 * width)
    y = ((1 - at[inside]) * (4 * height - 1)).round().astype(np.int64)
    dots[y, x[inside]] = True
    return dots


def _line(curve: Curve, view: ChartView, axis: Axis, height: int, width: int) -> NDArray[np.bool_]:
    """The moving average as an unbroken line within each phase."""
    grid = np.zeros((height * 4, width * 2), dtype=np.bool_)
    at = axis.position(curve.average)
    known = np.isfinite(at)
    steps, at = curve.steps[known], np.clip(at[known], 0, 1)
    dot_steps = np.linspace(view.first, view.last, 2 * width)
    bounds = [-np.inf, *view.dividers, np.inf]
    rows = np.arange(4 * height)[:, None]
    for low, high in pairwise(bounds):
        part = (steps >= low) & (steps < high)
        if not part.any():
            continue
        own, values = steps[part], at[part]
        spacing = (view.last - view.first) / (2 * width) / 2 + 1e-9
        columns = np.flatnonzero((dot_steps >= own[0] - spacing) & (dot_steps <= own[-1] + spacing))
        if not len(columns):
            continue
        y = (1 - np.interp(dot_steps[columns], own, values)) * (4 * height - 1)
        y = y.round().astype(np.int64)
        before = np.concatenate((y[:1], y[:-1]))
        top = np.where(before < y, before + 1, y)
        bottom = np.where(before > y, before - 1, y)
        grid[:, columns] |= (rows >= top) & (rows <= bottom)
    return grid


def _draw_frame(
    cells: Cells, view: ChartView, axis: Axis | None, height: int, columns: int
) -> None:
    bar, tee, dashes = "|+:" if view.ascii else "│┤┊"
    cells.chars[:height, MARGIN - 1] = ord(bar)
    cells.fg[: height + 1, :] = view.faint
    if axis is not None:
        positions = axis.position(np.array(axis.ticks))
        for tick, position in zip(axis.ticks, positions, strict=True):
            row = round((1 - float(position)) * (height - 1))
            cells.write(row, 0, f"{tick_label(tick):>6}"[:6], view.faint)
            cells.chars[row, MARGIN - 1] = ord(tee)
    for step in view.dividers:
        if view.first < step <= view.last:
            column = column_of(step, view, columns)
            cells.chars[:height, column] = ord(dashes)
    end = -1
    for step in step_ticks(view.first, view.last, plot_columns(columns) // 8):
        label = str(step)
        column = min(column_of(step, view, columns) - len(label) // 2, columns - len(label))
        if column > end:
            cells.write(height, column, label, view.faint)
            end = column + len(label)


def _name_phases(cells: Cells, view: ChartView, height: int, columns: int) -> None:
    """Beside each divider the phase it begins: at the top, at the bottom where curves fill that."""
    for number, step in enumerate(view.dividers, 2):
        if view.first < step <= view.last:
            label = f"phase {number}"
            start = column_of(step, view, columns) + 1
            if start + len(label) > columns and start - 1 - len(label) >= MARGIN:
                start -= 1 + len(label)
            places = cells.chars[:, start : start + len(label)]
            free = [row for row in (0, height - 1) if (places[row] == SPACE).all()]
            cells.write((free or [0])[0], start, label, view.faint)


def _draw_cursor(cells: Cells, view: ChartView, height: int, columns: int) -> None:
    assert view.cursor is not None
    column = column_of(view.cursor, view, columns)
    line = cells.chars[:height, column]
    blank = line == SPACE
    line[blank] = ord("|" if view.ascii else "│")
    cells.fg[:height, column][blank] = view.accent
    cells.bg[:height, column] = view.highlight
    label = str(view.cursor)
    start = min(max(MARGIN, column - len(label) // 2), columns - len(label))
    cells.write(height, start - 1, f" {label} "[: columns - start + 1], view.accent)
