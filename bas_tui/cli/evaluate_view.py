"""How an evaluation looks in a terminal: progress, table, and a plot of characters."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bas_tui.cli import driven, stdout
from engine.core.durations import say_seconds

if TYPE_CHECKING:
    from engine.evaluate.comparison import Compared
    from engine.evaluate.job_plan import EvaluationDir
    from engine.evaluate.status import Status
    from engine.evaluate.tables import Tables

PLOT_ROWS, PLOT_COLUMNS = 14, 56


def follow(folder: EvaluationDir) -> None:
    """Show progress until the driver is gone: live on a terminal, a line a job elsewhere."""
    from engine.evaluate.status import status

    said = -1

    def news(now: Status) -> Iterator[str]:
        nonlocal said
        if now.done + now.failed != said:
            said = now.done + now.failed
            yield headline(now)

    def block(now: Status) -> str:
        return "\n".join((bar(now), *(f"  {line}" for line in now.running)))

    driven.follow(lambda: status(folder), block, news)


def headline(now: Status) -> str:
    """`12 of 48 jobs done, 1 failed, about 1.4 h left`."""
    text = f"{now.done} of {now.total} jobs done"
    if now.failed:
        text += f", {now.failed} failed"
    if now.seconds_left is not None and now.driven:
        text += f", about {say_seconds((now.seconds_left, now.seconds_left))} left"
    return text


def bar(now: Status, width: int = 30) -> str:
    """A bar with the headline."""
    return f"{driven.bar(now.share, width)} {now.share:4.0%}  {headline(now)}"


def show_tables(tables: Tables) -> None:
    """The main table, then the plot on a terminal."""
    from engine.evaluate.report_text import brackets, number

    columns = (
        "method", "identity", "", "prompt", "", "found", "copied", "scenes", "pictures", "front",
    )  # fmt: skip
    rows = [
        (
            row.method,
            number(row.identity.mean),
            brackets(row.identity),
            number(row.prompt.mean),
            brackets(row.prompt),
            f"{row.found:.0%}",
            f"{row.copied:.0%}",
            str(row.jobs),
            str(row.pictures),
            "yes" if row.pareto else "",
        )
        for row in tables.rows
    ]
    stdout.table(columns, rows, ("bold", "", "dim", "", "dim"))
    if sys.stdout.isatty() and len(rows) > 1:
        points = [(row.identity.mean, row.prompt.mean) for row in tables.rows]
        for line in plot(points, [row.method for row in tables.rows]):
            stdout.line(line)


def compared_cells(line: Compared) -> tuple[str, ...]:
    """A line of `bas eval compare`."""
    cells: list[str] = [line.name, line.method]
    for figure, digits in ((line.identity, 3), (line.prompt, 3), (line.together, 2)):
        mean, low, high = figure.difference
        cells.append("-" if math.isnan(figure.mean) else f"{figure.mean:.{digits}f}")
        same = math.isnan(mean) or not (mean or low or high)
        between = "" if math.isnan(low) else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
        cells.append("" if same else f"{mean:+.{digits}f}{between}")
    minutes = "-" if math.isnan(line.seconds) else f"{line.seconds / 60:.1f}"
    return (*cells, minutes, str(line.pictures))


def plot(points: Sequence[tuple[float, float]], names: Sequence[str]) -> list[str]:
    """A scatter of characters: identity to the right, prompt similarity upwards."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right = _range(xs)
    low, high = _range(ys)
    grid = [[" "] * PLOT_COLUMNS for _ in range(PLOT_ROWS)]
    for index, (x, y) in enumerate(points):
        if math.isnan(x) or math.isnan(y):
            continue
        column = round((x - left) / (right - left) * (PLOT_COLUMNS - 1))
        row = round((high - y) / (high - low) * (PLOT_ROWS - 1))
        grid[row][column] = chr(ord("a") + index) if grid[row][column] == " " else "*"
    lines = ["", "prompt similarity"]
    for index, row in enumerate(grid):
        label = high if index == 0 else low
        edge = f"{label:6.3f}" if index in (0, PLOT_ROWS - 1) else " " * 6
        lines.append(f"{edge} │{''.join(row)}")
    lines.append(f"{' ' * 6} └{'─' * PLOT_COLUMNS}")
    ends = f"{left:.3f}{f'identity similarity  {right:.3f}':>{PLOT_COLUMNS - 5}}"
    lines.append(f"{' ' * 8}{ends}")
    lines += [f"  {chr(ord('a') + index)} {name}" for index, name in enumerate(names)]
    if any("*" in line for line in lines):
        lines.append("  * several methods")
    return lines


def _range(values: Sequence[float]) -> tuple[float, float]:
    known = [value for value in values if not math.isnan(value)] or [0.0]
    low, high = min(known), max(known)
    margin = (high - low) * 0.08 or 0.05
    return low - margin, high + margin
