"""The identity-prompt scatter of the report (paper, figure 5), by matplotlib."""

from __future__ import annotations

import io
import math
from typing import Any

from engine.errors import UserError
from engine.evaluate.tables import MethodRow, Tables

OURS = "break-a-scene"
BASELINES = ("ti-m", "db-m", "cd-m")
COLOURS = {"ours": "#c2410c", "baseline": "#1d4ed8", "ablation": "#6b7280"}


def kind_of(method: str) -> str:
    """ours, baseline or ablation."""
    if method == OURS:
        return "ours"
    return "baseline" if method in BASELINES else "ablation"


def scatter(tables: Tables) -> bytes:
    """A PNG: a point a method with its intervals, the Pareto front as a line; raises UserError."""
    figure, axes = _figure()
    markers = {"ours": "*", "baseline": "s", "ablation": "o"}
    for row in tables.rows:
        kind = kind_of(row.method)
        point = row.identity.mean, row.prompt.mean
        if any(math.isnan(value) for value in point):
            continue
        axes.errorbar(
            *point,
            xerr=_bars(row, "identity"),
            yerr=_bars(row, "prompt"),
            fmt=markers[kind],
            color=COLOURS[kind],
            markersize=13 if kind == "ours" else 7,
            elinewidth=0.8,
            capsize=2,
            alpha=0.9,
        )
        axes.annotate(
            row.method, point, textcoords="offset points", xytext=(8, 5), fontsize=9,
            color=COLOURS[kind],
        )  # fmt: skip
    front = sorted((row.identity.mean, row.prompt.mean) for row in tables.rows if row.pareto)
    if len(front) > 1:
        xs, ys = zip(*front, strict=True)
        axes.plot(xs, ys, color="#9ca3af", linestyle="--", linewidth=1, zorder=0)
    axes.set_xlabel("identity similarity")
    axes.set_ylabel("prompt similarity")
    axes.margins(0.15)
    axes.grid(alpha=0.25, linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    # No software text: equal tables give equal bytes.
    figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return buffer.getvalue()


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("the report needs matplotlib", "pip install 'bas-tui[eval]'") from error
    figure = Figure(figsize=(7.2, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _bars(row: MethodRow, axis: str) -> list[list[float]] | None:
    interval = getattr(row, axis)
    if math.isnan(interval.low):
        return None
    return [[max(0.0, interval.mean - interval.low)], [max(0.0, interval.high - interval.mean)]]
