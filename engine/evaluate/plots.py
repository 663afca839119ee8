"""The identity-prompt scatter of the report (paper, figure 5), by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from engine.core.errors import UserError
from engine.evaluate.label_places import Box, place_labels
from engine.evaluate.tables import MethodRow, Tables

OURS = "break-a-scene"
BASELINES = ("ti-m", "db-m", "cd-m")
COLOURS = {"ours": "#c2410c", "baseline": "#1d4ed8", "ablation": "#6b7280"}
MARKERS = {"ours": "*", "baseline": "s", "ablation": "o"}
NAME_SIZE = 9
GAP = 2
"""Free room around points and names, in points of print."""


def kind_of(method: str) -> str:
    """ours, baseline or ablation."""
    if method == OURS:
        return "ours"
    return "baseline" if method in BASELINES else "ablation"


def scatter(tables: Tables) -> bytes:
    """A PNG: a point a method with its intervals, the Pareto front as a line; raises UserError."""
    buffer = io.BytesIO()
    # No software text: equal tables give equal bytes.
    draw_scatter(tables).savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_scatter(tables: Tables) -> Any:
    """The same as a matplotlib figure."""
    figure, axes = _figure()
    rows = [row for row in tables.rows if not math.isnan(row.identity.mean + row.prompt.mean)]
    for row in rows:
        kind = kind_of(row.method)
        axes.errorbar(
            row.identity.mean,
            row.prompt.mean,
            xerr=_bars(row, "identity"),
            yerr=_bars(row, "prompt"),
            fmt=MARKERS[kind],
            color=COLOURS[kind],
            markersize=_marker_size(row),
            elinewidth=0.8,
            capsize=2,
            alpha=0.9,
        )
    front = sorted((row.identity.mean, row.prompt.mean) for row in rows if row.pareto)
    if len(front) > 1:
        xs, ys = zip(*front, strict=True)
        axes.plot(xs, ys, color="#9ca3af", linestyle="--", linewidth=1, zorder=0)
    axes.set_xlabel("identity similarity")
    axes.set_ylabel("prompt similarity")
    axes.margins(0.15)
    axes.grid(alpha=0.25, linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _write_names(figure, axes, rows)
    return figure


def _write_names(figure: Any, axes: Any, rows: Sequence[MethodRow]) -> None:
    """Each method's name beside its point, where it covers nothing."""
    # The layout decides where the points lie; names take no part in it.
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    points: list[Box] = []
    sizes: list[tuple[float, float]] = []
    lines: list[Box] = []
    for row in rows:
        x, y = axes.transData.transform((row.identity.mean, row.prompt.mean))
        reach = (_marker_size(row) / 2 + GAP) * pixels
        points.append(Box(x - reach, y - reach, x + reach, y + reach))
        probe = axes.text(0, 0, row.method, fontsize=NAME_SIZE)
        extent = probe.get_window_extent()
        probe.remove()
        sizes.append((extent.width + 2 * GAP * pixels, extent.height + GAP * pixels))
        for (left, bottom), (right, top) in _bar_ends(row):
            ends = axes.transData.transform([(left, bottom), (right, top)])
            lines.append(Box(*(float(value) for value in ends.ravel())))
    places = place_labels(points, sizes, Box(*axes.bbox.extents), lines)
    ground = {"boxstyle": "square,pad=0.05", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
    for row, point, place in zip(rows, points, places, strict=True):
        (x, y), (u, v) = point.centre, place.box.centre
        colour = COLOURS[kind_of(row.method)]
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            row.method,
            (row.identity.mean, row.prompt.mean),
            xytext=((u - x) / pixels, (v - y) / pixels),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=NAME_SIZE,
            color=colour,
            arrowprops=leader if place.away else None,
            bbox=ground,
            in_layout=False,
        )


def _marker_size(row: MethodRow) -> int:
    """Points of print."""
    return 13 if kind_of(row.method) == "ours" else 7


def _bar_ends(row: MethodRow) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Lower left and upper right end of each error bar."""
    x, y = row.identity, row.prompt
    bars: list[tuple[tuple[float, float], tuple[float, float]]] = []
    if not math.isnan(x.low):
        bars.append(((x.low, y.mean), (x.high, y.mean)))
    if not math.isnan(y.low):
        bars.append(((x.mean, y.low), (x.mean, y.high)))
    return bars


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("the report needs matplotlib", "pip install 'bas-tui[eval]'") from error
    figure = Figure(figsize=(7.2, 5), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _bars(row: MethodRow, axis: str) -> list[list[float]] | None:
    interval = getattr(row, axis)
    if math.isnan(interval.low):
        return None
    return [[max(0.0, interval.mean - interval.low)], [max(0.0, interval.high - interval.mean)]]
