"""The list of runs: one line each, with a cursor; click or enter opens."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.runs.library import Entry, progress
from bas_tui.tui.runs.overlay import run_mark
from bas_tui.tui.shell.state_marks import STATE_MARKS, UNKNOWN
from engine.core.durations import say_age
from engine.runs.folder import RunDir

WIDTHS = {"state": 14, "progress": 16, "loss": 8, "when": 11}
BAR = 6
NARROW_BAR = 3
"""Columns of the progress bar in a list narrower than 90 columns."""


class RunList(CellCanvas, can_focus=True):
    """Shows entries and knows which one the cursor is on."""

    SCOPE = "runs"
    HELP_TEXT = (
        "Every run of this machine. A run goes on whether or not a window looks at it: enter "
        "attaches to it, live or finished. The picture and the facts of the marked run are beside."
    )

    class Moved(Message):
        """The cursor is on another entry."""

    class Opened(Message):
        """The entry under the cursor was clicked a second time."""

    def __init__(self) -> None:
        super().__init__(id="run-list", classes="pane")
        self.border_title = "Runs"
        self.entries: Sequence[Entry] = ()
        self.marked: list[RunDir] = []
        """Runs to be compared, in the order of their marks."""
        self.empty = ""
        """What to say when there are no entries."""
        self._cursor = 0
        self._top = 0
        self._bar = BAR

    @property
    def current(self) -> Entry | None:
        """The entry under the cursor."""
        return self.entries[self._cursor] if self.entries else None

    def show(self, entries: Sequence[Entry]) -> None:
        """Show other entries; the cursor stays on its run."""
        here = self.current
        self.entries = entries
        runs = [entry.run for entry in entries]
        if here is not None and here.run in runs:
            self._cursor = runs.index(here.run)
        self._cursor = max(0, min(self._cursor, len(entries) - 1))
        self.draw()
        self.post_message(self.Moved())

    def move(self, by: int) -> None:
        """Move the cursor by entries."""
        target = max(0, min(self._cursor + by, len(self.entries) - 1))
        if target != self._cursor:
            self._cursor = target
            self.draw()
            self.post_message(self.Moved())

    def mark(self) -> None:
        """Mark the entry under the cursor, or take its mark away."""
        entry = self.current
        if entry is not None and entry.info is not None:
            if entry.run in self.marked:
                self.marked.remove(entry.run)
            else:
                self.marked.append(entry.run)
            self.draw()

    def unmark(self) -> None:
        """No marks."""
        self.marked = []
        self.draw()

    def compared(self) -> list[RunDir]:
        """The marked runs; with fewer than two the entry under the cursor joins, then those
        below it, then the first."""
        there = [entry.run for entry in self.entries if entry.info is not None]
        chosen = [run for run in self.marked if run in there]
        nearest = [entry.run for entry in (*self.entries[self._cursor :], *self.entries)]
        for run in nearest:
            if len(chosen) < 2 and run in there and run not in chosen:
                chosen.append(run)
        return chosen

    def select_run(self, name: str) -> None:
        """Put the cursor on a run by name, if it is there."""
        for index, entry in enumerate(self.entries):
            if entry.run.name == name:
                self.move(index - self._cursor)
                return

    def on_resize(self) -> None:
        """Paint into the new size."""
        self.draw()

    def on_mount(self) -> None:
        """Paint again in other colours."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.call_later(self.draw))

    def on_focus(self) -> None:
        """The cursor is bright while the list has the focus."""
        self.draw()

    def on_blur(self) -> None:
        """The cursor is dim without the focus."""
        self.draw()

    def draw(self) -> None:
        """Paint the entries around the cursor."""
        columns, rows = self.size
        if not self.is_mounted or not columns or not rows:
            return
        cells = Cells.blank(rows, columns)
        if not self.entries:
            for row, line in enumerate(self.empty.splitlines()):
                cells.write(row + 1, 2, line, self.ink("faint"))
            self.paint(cells)
            return
        head = self.ink("faint")
        places = self._columns(columns)
        for name, (start, _width) in places.items():
            cells.write(0, start, name, head)
        shown = rows - 1
        self._top = max(0, min(self._top, len(self.entries) - shown))
        self._top = max(self._cursor - shown + 1, min(self._top, self._cursor))
        for row, entry in enumerate(self.entries[self._top : self._top + shown], 1):
            marked = self._top + row - 1 == self._cursor
            self._draw_entry(cells, row, entry, places)
            if marked:
                self._mark(cells, row)
        self.paint(cells)

    def _mark(self, cells: Cells, row: int) -> None:
        if self.terminal.colors > 16:
            color = (
                "block-cursor-background" if self.has_focus else "block-cursor-blurred-background"
            )
            cells.bg[row, :] = self.ink(color)
        cells.write(row, 0, ">", self.ink("primary"))

    def _columns(self, columns: int) -> dict[str, tuple[int, int]]:
        """Start and width of each column; name and concepts share what is left."""
        self._bar = BAR if columns >= 90 else NARROW_BAR
        rest = columns - 2 - sum(WIDTHS.values()) + BAR - self._bar
        name = max(14, min(34, int(rest * 0.55)))
        progress_width = WIDTHS["progress"] - BAR + self._bar
        widths = {
            "state": WIDTHS["state"], "name": name, "concepts": max(0, min(64, rest - name)),
            "progress": progress_width, "loss": WIDTHS["loss"], "when": WIDTHS["when"],
        }  # fmt: skip
        places: dict[str, tuple[int, int]] = {}
        start = 2
        for key, width in widths.items():
            places[key] = (start, width)
            start += width
        return places

    def _draw_entry(
        self, cells: Cells, row: int, entry: Entry, places: dict[str, tuple[int, int]]
    ) -> None:
        if entry.run in self.marked:
            place = self.marked.index(entry.run)
            cells.write(row, 1, run_mark(place), self.concept_ink(place))
        word = "live" if entry.state == "training" else entry.state
        mark = STATE_MARKS.get(word, UNKNOWN)
        cells.write(row, places["state"][0], f"{mark.char} {word}", self.ink(mark.color))
        start, width = places["name"]
        cells.write(row, start, _cut(entry.run.name, width - 1), self.ink("foreground"))
        info = entry.info
        if info is None:
            cells.write(row, places["concepts"][0], entry.problem, self.ink("error"))
            return
        self._draw_concepts(cells, row, entry, *places["concepts"])
        start, _ = places["progress"]
        bar = self._bar
        filled = round(progress(entry) * bar)
        full, empty = ("#", ".") if self.terminal.ascii else ("━", "─")
        cells.write(row, start, full * filled, self.ink("primary" if entry.live else "secondary"))
        cells.write(row, start + filled, empty * (bar - filled), self.ink("border"))
        steps = f" {info.step}/{info.total_steps}"
        cells.write(row, start + bar, steps, self.ink("faint"))
        loss = f"{info.loss:.4f}" if info.loss is not None else "-"
        cells.write(row, places["loss"][0], loss, self.ink("foreground"))
        cells.write(row, places["when"][0], say_age(info.created), self.ink("faint"))

    def _draw_concepts(self, cells: Cells, row: int, entry: Entry, start: int, width: int) -> None:
        assert entry.info is not None
        end = start + width - 1
        for index, concept in enumerate(entry.info.concepts):
            room = end - start
            if room < 3:
                return
            text = _cut(concept.name, room)
            cells.write(row, start, text, self.concept_ink(index))
            start += len(text) + 1

    def on_click(self, event: events.Click) -> None:
        """The first click marks, a second one on the marked run opens."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        index = self._top + offset.y - 1
        if index >= len(self.entries):
            return
        if index == self._cursor and event.chain > 1:
            self.post_message(self.Opened())
        else:
            self.move(index - self._cursor)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel: the next run."""
        event.stop()
        self.move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel: the previous run."""
        event.stop()
        self.move(-1)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
