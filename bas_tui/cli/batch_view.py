"""How a batch looks in a terminal: a live table, a line a scene elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from bas_tui.cli import stderr, stdout

if TYPE_CHECKING:
    from engine.batch.folder import BatchDir
    from engine.batch.status import Row, Status

POLL_SECONDS = 1.0
BAR = 20
COLORS = {"finished": "green", "failed": "bold red", "training": "cyan", "starting": "cyan"}
COLUMNS = ("scene", "state", "progress", "loss", "run")


def follow(folder: BatchDir) -> None:
    """Show the batch until its driver is gone."""
    from engine.batch.status import status
    from engine.runs.description import Descriptions

    if not sys.stderr.isatty():
        _follow_in_lines(folder)
        return
    describe = Descriptions()
    from rich.live import Live

    with Live(console=stderr.console(), refresh_per_second=2, transient=True) as live:
        while True:
            now = status(folder, describe)
            live.update(_table(now, stderr.console().height - 4))
            if not now.driven:
                return
            time.sleep(POLL_SECONDS)


def show(now: Status) -> None:
    """The scenes as they are now, on stdout."""
    rows = [(*_cells(row)[:-1], row.message or row.scene.run_name) for row in now.rows]
    stdout.table(COLUMNS, rows, ("bold", "", "cyan", "", "dim"))


def _follow_in_lines(folder: BatchDir) -> None:
    from engine.batch.status import status
    from engine.runs.description import Descriptions

    said: dict[str, str] = {}
    describe = Descriptions()
    while True:
        now = status(folder, describe)
        for row in now.rows:
            state = row.state
            if said.get(row.scene.name, "waiting") != state and state not in ("new", "starting"):
                said[row.scene.name] = state
                reason = f": {row.message}" if row.message else ""
                stderr.say(f"{row.scene.name} {state}{reason} ({now.headline})")
        if not now.driven:
            return
        time.sleep(POLL_SECONDS)


def _cells(row: Row) -> tuple[str, ...]:
    share = row.step / row.total_steps if row.total_steps else 0.0
    full = round(share * BAR)
    progress = f"{'━' * full}{'╌' * (BAR - full)} {row.step}/{row.total_steps}"
    loss = f"{row.loss:.4f}" if row.loss is not None else "-"
    return row.scene.name, row.state, progress, loss, row.scene.run_name


def _table(now: Status, room: int) -> Any:
    """At most `room` scenes, those that are at work first."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    order = {"training": 0, "starting": 0, "paused": 0, "failed": 1, "waiting": 2}
    rows = sorted(now.rows, key=lambda row: order.get(row.state, 3))
    shown = rows if len(rows) <= room else rows[: max(1, room - 1)]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        grid.add_column(column, no_wrap=True)
    for row in shown:
        name, state, progress, loss, run = _cells(row)
        texts = (Text(name, "bold"), Text(state, COLORS.get(state, "")), Text(progress),
                 Text(loss), Text(row.message or run, "red" if row.message else "dim"))  # fmt: skip
        grid.add_row(*texts)
    more = [Text(f"and {len(rows) - len(shown)} more", "dim")] if len(shown) < len(rows) else []
    return Group(Text(f"{now.share:4.0%}  {now.headline}", "bold"), grid, *more)
