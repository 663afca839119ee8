"""The Batch screen: how far every scene of a batch is, and what its pictures look like."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from textual import on
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import get_current_worker

from bas_tui.tui.batch.keys import KEYS
from bas_tui.tui.batch.scene_facts import SceneFacts
from bas_tui.tui.batch.scene_table import SceneTable
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.screen import BasScreen
from engine.batch.folder import BatchDir, list_batches, read_batch
from engine.batch.report import write_report
from engine.batch.status import Row, Status, status
from engine.core.errors import BasError
from engine.runs.description import Descriptions

EMPTY = """No batches yet.

A batch learns every scene of a folder. In a shell:

    bas batch photos/ --check      what would be trained
    bas batch photos/              train it; looks here are free"""


class Seen(NamedTuple):
    """A batch at a moment."""

    folder: BatchDir
    source: str
    """The folder of scenes."""
    place: int
    """Among all batches, the newest is 0."""
    batches: int
    now: Status


class BatchScreen(BasScreen):
    """Batches, the newest first."""

    SCOPE = "batch"
    CSS_PATH = "batch.tcss"
    AUTO_FOCUS = "SceneTable"
    BINDINGS = bindings_of(KEYS, "batch")
    HELP_TEXT = "Every scene of a folder, as `bas batch` learns them."

    class Looked(Message):
        """The folders were read; None: there is no batch."""

        def __init__(self, seen: Seen | None, problem: str = "") -> None:
            super().__init__()
            self.seen = seen
            self.problem = problem

    def __init__(self) -> None:
        super().__init__()
        self._describe = Descriptions()
        self._chosen = ""
        """Name of the batch; empty: the newest."""
        self._seen: Seen | None = None
        self._ticks = 0

    def compose_body(self) -> Iterable[Widget]:
        """A line about all, the scenes, the marked one."""
        yield Static(id="batch-line")
        with Container(id="batch-main"):
            yield SceneTable()
            yield SceneFacts()

    def on_mount(self) -> None:
        """Look now and from time to time."""
        self.set_interval(1.0, self._tick)

    def on_screen_resume(self) -> None:
        """Look again at once when the screen comes back."""
        self.look_again()

    def open(self, *, batch: str = "", **_others: object) -> None:
        """Show a batch by name."""
        self._chosen = batch
        self.look_again()

    def folder(self) -> Path | None:
        """The marked scene's run."""
        row = self._current
        return row.scene.run.path if row is not None else None

    def command_values(self) -> dict[str, str]:
        """The folder of scenes and the marked run."""
        if self._seen is None:
            return {}
        values = {"folder": self._seen.source}
        row = self._current
        return values | ({"run": row.scene.run_name} if row is not None else {})

    @property
    def _current(self) -> Row | None:
        return self.query_one(SceneTable).current if self._seen is not None else None

    # Looking

    def _tick(self) -> None:
        self._ticks += 1
        if self.is_current and self._ticks >= self.bas.terminal.cadence:
            self.look_again()

    def look_again(self) -> None:
        """Read the batch, off the event loop."""
        self._ticks = 0
        read = partial(self._read, self._chosen)
        self.run_worker(read, thread=True, exclusive=True, group="look")

    def _read(self, chosen: str) -> None:
        seen, problem = None, ""
        folders = list_batches()
        names = [folder.name for folder in folders]
        if folders:
            place = names.index(chosen) if chosen in names else 0
            folder = folders[place]
            try:
                now, source = status(folder, self._describe), read_batch(folder).source
                seen = Seen(folder, source, place, len(folders), now)
            except BasError as error:
                problem = f"{error.message} - {error.remedy}"
        if not get_current_worker().is_cancelled:
            self.post_message(self.Looked(seen, problem))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self._seen = event.seen
        self.set_class(event.seen is None, "-empty")
        line = self.query_one("#batch-line", Static)
        if event.seen is None:
            line.update(event.problem or EMPTY)
            self.header = HeaderInfo()
        else:
            seen = event.seen
            self._chosen = seen.folder.name
            line.update(_line(seen))
            self.query_one(SceneTable).show(seen.now)
            self.header = HeaderInfo(run=seen.folder.name, state=_state(seen.now))
        self._show_scene()

    @on(SceneTable.RowHighlighted)
    def _moved(self) -> None:
        self._show_scene()

    def _show_scene(self) -> None:
        self.query_one(SceneFacts).show(self._current)
        self.refresh_bindings()

    def terminal_changed(self) -> None:
        """Paint with other means."""
        self.query_one(SceneFacts).draw()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the batch and the marked scene can take."""
        del parameters
        seen = self._seen
        if seen is None:
            return action not in {key.action.partition("(")[0] for key in KEYS}
        match action:
            case "stop":
                return seen.now.driven
            case "go_on":
                return not seen.now.driven and seen.now.done < len(seen.now.rows)
            case "turn":
                return seen.batches > 1
            case _:
                return True

    def action_move(self, lines: int) -> None:
        """Vim keys."""
        table = self.query_one(SceneTable)
        table.move_cursor(row=table.cursor_row + lines)

    def action_turn(self, by: int) -> None:
        """Another batch."""
        folders = list_batches()
        if self._seen is not None and folders:
            self.open(batch=folders[(self._seen.place + by) % len(folders)].name)

    async def action_open(self) -> None:
        """The run of the marked scene."""
        if (row := self._current) is not None:
            await self.bas.go("train", run=str(row.scene.run.path), control=True)

    @on(SceneTable.RowSelected)
    async def _selected(self) -> None:
        await self.action_open()

    async def action_compose(self) -> None:
        """Prompts over its things."""
        if (row := self._current) is not None:
            await self.bas.go("compose", run=str(row.scene.run.path))

    def action_full(self) -> None:
        """The newest pictures and nothing else."""
        if (picture := self.query_one(SceneFacts).picture) is not None:
            self.app.push_screen(FullPicture(picture))

    def action_copy(self) -> None:
        """The run's name."""
        if (row := self._current) is not None:
            self.bas.copy(row.scene.run_name)

    def action_report(self) -> None:
        """Write report.html."""
        if (seen := self._seen) is not None:
            self.do(lambda: f"report: {write_report(seen.folder)}")

    def action_go_on(self) -> None:
        """Start its driver again."""
        if (seen := self._seen) is None:
            return

        def start() -> str:
            seen.folder.driver.start("--jobs", "0", "--executor", "local")
            return f"{seen.folder.name} goes on"

        self.say(f"{seen.folder.name} is starting")
        self.do(start)

    def action_stop(self) -> None:
        """End its driver, after a question."""
        if (seen := self._seen) is None:
            return

        def answered(sure: bool | None) -> None:
            if sure:
                self.say(f"{seen.folder.name} is stopping: its scenes write their checkpoints")
                self.do(seen.folder.driver.stop)

        detail = "Its running scenes write a checkpoint; r goes on from there."
        question = Confirm(f"Stop {seen.folder.name}?", detail, yes="Stop", no="Go on")
        self.app.push_screen(question, answered)


def _state(now: Status) -> str:
    if now.driven:
        return "live"
    return "finished" if now.done == len(now.rows) else "stopped"


def _line(seen: Seen) -> Content:
    """All scenes in a line."""
    turn = f"  ({seen.place + 1} of {seen.batches} batches)" if seen.batches > 1 else ""
    return Content.assemble(
        Content.styled(f"{seen.now.share:.0%}  ", "bold $primary"),
        Content.styled(seen.now.headline, "bold"),
        Content.styled(f"  {seen.source}{turn}", "$faint"),
    )
