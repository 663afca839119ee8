"""The scenes of a batch, a line each; what changes is changed in place, so the cursor stays."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import DataTable

from bas_tui.tui.shell.state_marks import STATE_MARKS, UNKNOWN
from engine.batch.status import Row, Status

BAR = 12
COLUMNS = {"scene": 0, "state": 14, "progress": BAR + 10, "loss": 8}
"""Names and widths; the scenes' is that of the longest, within reason."""
LONGEST = 32


class SceneTable(DataTable[Content]):
    """Lines of `COLUMNS`, with the scene's name as key."""

    SCOPE = "batch"
    HELP_TEXT = (
        "Every scene of the batch becomes an ordinary run. The batch goes on whether or not a "
        "window looks at it; enter opens the run under the cursor."
    )

    def __init__(self) -> None:
        super().__init__(
            id="scene-table", cursor_type="row", cell_padding=1, classes="pane",
            cursor_foreground_priority="renderable",
        )  # fmt: skip
        self.border_title = "Scenes"
        self._rows: tuple[Row, ...] = ()

    @property
    def current(self) -> Row | None:
        """The scene under the cursor."""
        here = self.cursor_row
        return self._rows[here] if 0 <= here < len(self._rows) else None

    def show(self, now: Status) -> None:
        """The batch as it is now."""
        before, self._rows = self._rows, now.rows
        if [row.scene.run_name for row in before] != [row.scene.run_name for row in now.rows]:
            self.clear(columns=True)
            name = max([len(row.scene.name) for row in now.rows], default=0)
            for column, width in COLUMNS.items():
                room = max(len(column), min(LONGEST, name))
                self.add_column(column, key=column, width=width or room)
            for row in now.rows:
                self.add_row(*self._cells(row), key=row.scene.run_name)
            return
        for old, new in zip(before, now.rows, strict=True):
            if old != new:
                for name, cell in zip(COLUMNS, self._cells(new), strict=True):
                    self.update_cell(new.scene.run_name, name, cell)

    def _cells(self, row: Row) -> tuple[Content, ...]:
        mark = STATE_MARKS.get(row.state, UNKNOWN)
        full = round(BAR * row.step / row.total_steps) if row.total_steps else 0
        progress = Content.assemble(
            Content.styled("━" * full, "$primary"),
            Content.styled("─" * (BAR - full), "$border"),
            Content.styled(f" {row.step}/{row.total_steps}", "$faint"),
        )
        return (
            Content(row.scene.name),
            Content.styled(f"{mark.char} {row.state}", f"${mark.color}"),
            progress,
            Content(f"{row.loss:.4f}" if row.loss is not None else "-"),
        )
