"""How a batch looks in a terminal: a live table, a line a scene elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bas_tui.cli import driven, stderr, stdout

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine.batch.folder import BatchDir
    from engine.batch.status import Row, Status

BAR = 20
COLORS = {"finished": "green", "failed": "bold red", "training": "cyan", "starting": "cyan"}
COLUMNS = ("scene", "state", "progress", "loss", "run")


def follow(folder: BatchDir) -> None:
    """Show the batch until its driver is gone."""
    from engine.batch.status import status
    from engine.runs.description import Descriptions

    describe = Descriptions()
    driven.follow(lambda: status(folder, describe), _table, _News())


def show(now: Status) -> None:
    """The scenes as they are now, on stdout."""
    rows = [(*_cells(row)[:-1], row.message or row.scene.run_name) for row in now.rows]
    stdout.table(COLUMNS, rows, ("bold", "", "cyan", "", "dim"))


class _News:
    """A line for each scene that has another state."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def __call__(self, now: Status) -> Iterator[str]:
        for row in now.rows:
            name, state = row.scene.name, row.state
            if self._said.get(name, "waiting") != state and state not in ("new", "starting"):
                self._said[name] = state
                reason = f": {row.message}" if row.message else ""
                yield f"{name} {state}{reason} ({now.headline})"


def _cells(row: Row) -> tuple[str, ...]:
    share = row.step / row.total_steps if row.total_steps else 0.0
    progress = f"{driven.bar(share, BAR)} {row.step}/{row.total_steps}"
    loss = f"{row.loss:.4f}" if row.loss is not None else "-"
    return row.scene.name, row.state, progress, loss, row.scene.run_name


def _table(now: Status) -> RenderableType:
    """The scenes that there is room for, those that are at work first."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    order = {"training": 0, "starting": 0, "paused": 0, "failed": 1, "waiting": 2}
    room = stderr.console().height - 4
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
