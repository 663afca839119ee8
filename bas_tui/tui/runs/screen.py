"""The Runs screen: the library of live and finished runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual import on
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import get_current_worker

from bas_tui.tui.runs.keys import KEYS
from bas_tui.tui.runs.library import SORTS, Entry, Library, folder_size, megabytes, select
from bas_tui.tui.runs.overlay import Overlay, SameWords
from bas_tui.tui.runs.run_facts import RunFacts
from bas_tui.tui.runs.run_list import RunList
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.screen import BasScreen
from engine.runs.folder import has_concepts
from engine.runs.library import remove_run
from engine.runs.prompts import all_together

REFRESH_CADENCES = 2
"""Redraw cadences between two looks at the run folders."""
OF_THE_LIST = frozenset({
    "open", "watch", "compose", "export", "resume", "stop", "remove", "new", "filter", "sort",
    "copy", "mark", "unmark", "overlay", "down", "up", "top", "bottom", "end_filter",
})  # fmt: skip
"""What is done to the run of the cursor, which nobody sees while runs are compared."""
EMPTY = """No runs yet.

n    open a picture, paint a mask over each thing, and train
     or in a shell:  bas demo      (a first run in minutes, no download)
                     bas open PICTURE.jpg"""


class RunsScreen(BasScreen):
    """Live and finished runs."""

    SCOPE = "runs"
    CSS_PATH = "runs.tcss"
    AUTO_FOCUS = "RunList"
    BINDINGS = bindings_of(KEYS, "runs")
    HELP_TEXT = "Every run of this machine, live ones first."

    class Listed(Message):
        """The run folders were read."""

        def __init__(self, entries: list[Entry]) -> None:
            super().__init__()
            self.entries = entries

    def __init__(self) -> None:
        super().__init__()
        self._library = Library()
        self._entries: list[Entry] = []
        self._ticks = 0
        self._first_listing = True

    def compose_body(self) -> Iterable[Widget]:
        """Filter and list beside the facts."""
        with Container(id="runs-main"):
            with Vertical(id="runs-left"):
                yield Input(placeholder="name, concept, base, live, failed ...", id="filter")
                yield RunList()
            yield RunFacts()
        yield Overlay()

    def on_mount(self) -> None:
        """Read the folders now and from time to time."""
        self.query_one(Input).value = self.bas.prefs.runs_filter
        self.query_one(Input).set_class(bool(self.bas.prefs.runs_filter), "-shown")
        self.set_interval(1.0, self._tick)

    def on_screen_resume(self) -> None:
        """Look again at once when the screen comes back."""
        self.look_again()

    def _tick(self) -> None:
        self._ticks += 1
        if self.is_current and self._ticks >= REFRESH_CADENCES * self.bas.terminal.cadence:
            self.look_again()

    def look_again(self) -> None:
        """Read the run folders, off the event loop."""
        self._ticks = 0
        self.run_worker(self._read, thread=True, exclusive=True, group="library")

    def _read(self) -> None:
        entries = self._library.read()
        if not get_current_worker().is_cancelled:
            self.post_message(self.Listed(entries))

    @on(Listed)
    def _listed(self, event: Listed) -> None:
        self._entries = event.entries
        self._show()
        if self._first_listing:
            self._first_listing = False
            self.query_one(RunList).select_run(self.bas.prefs.last_run)

    def folder(self) -> Path | None:
        """The run's."""
        return entry.run.path if (entry := self._current) is not None else None

    def leads_to(self, name: str) -> dict[str, Any]:
        """The marked run, to be drawn with."""
        entry = self._current
        if entry is None or entry.info is None or name not in ("compose", "edit"):
            return {}
        return {"run": entry.run}

    def command_values(self) -> dict[str, str]:
        """The marked run and its tokens."""
        entry = self._current
        if entry is None or entry.info is None:
            return {}
        tokens = all_together(entry.info.concepts, entry.info.grammar, by_name=True)
        return {"run": entry.run.name, "tokens": tokens}

    def _show(self) -> None:
        prefs = self.bas.prefs
        shown = select(self._entries, prefs.runs_filter, prefs.runs_sort)
        runs = self.query_one(RunList)
        runs.empty = EMPTY if not self._entries else "No run fits the filter; escape clears it."
        hidden = len(self._entries) - len(shown)
        sort = f" · by {prefs.runs_sort}" if prefs.runs_sort != "when" else ""
        count = f" · {hidden} hidden by the filter" if hidden else ""
        runs.set_title(f"Runs {len(shown)}{sort}{count}")
        runs.show(shown)

    @on(RunList.Moved)
    def _moved(self) -> None:
        if self.has_class("-overlay"):
            self.query_one(Overlay).again()
            return
        entry = self._current
        self.query_one(RunFacts).show(entry)
        self.header = HeaderInfo(
            run=entry.run.name if entry is not None else "",
            state={"training": "live"}.get(entry.state, entry.state) if entry is not None else "",
        )
        self.refresh_bindings()

    @property
    def _current(self) -> Entry | None:
        return self.query_one(RunList).current

    @property
    def shown(self) -> list[Entry]:
        """The runs on the screen, in their order."""
        return list(self.query_one(RunList).entries)

    # Moving and filtering

    def action_down(self) -> None:
        """Next run."""
        self.query_one(RunList).move(1)

    def action_up(self) -> None:
        """Previous run."""
        self.query_one(RunList).move(-1)

    def action_top(self) -> None:
        """First run."""
        self.query_one(RunList).move(-len(self._entries))

    def action_bottom(self) -> None:
        """Last run."""
        self.query_one(RunList).move(len(self._entries))

    def action_filter(self) -> None:
        """Type a filter."""
        field = self.query_one(Input)
        field.add_class("-shown")
        field.focus()

    def action_end_filter(self) -> None:
        """Escape: clear the filter and go back to the list."""
        self.query_one(Input).value = ""
        self._leave_filter()

    def _leave_filter(self) -> None:
        field = self.query_one(Input)
        field.set_class(bool(field.value), "-shown")
        self.query_one(RunList).focus()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        if event.value != self.bas.prefs.runs_filter:
            self.bas.remember(runs_filter=event.value)
            self._show()

    @on(Input.Submitted)
    def _filter_entered(self) -> None:
        self._leave_filter()

    def action_sort(self) -> None:
        """The next order."""
        now = self.bas.prefs.runs_sort
        order = SORTS[(SORTS.index(now) + 1) % len(SORTS)] if now in SORTS else SORTS[0]
        self.bas.remember(runs_sort=order)
        self._show()
        self.say(f"sorted by {order}")

    def reset_view(self) -> None:
        """No filter, newest first."""
        self.query_one(Input).value = ""
        self._leave_filter()
        self._show()

    def terminal_changed(self) -> None:
        """Paint with other means."""
        self.query_one(RunList).draw()
        self.query_one(Overlay).draw()
        self.query_one(RunFacts).show(self._current)

    # Actions on the marked run

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the marked run can take."""
        del parameters
        if self.has_class("-overlay") and action in OF_THE_LIST:
            return False
        entry = self._current if self.is_mounted else None
        if action in ("open", "watch", "compose"):
            return entry is not None and entry.info is not None
        if entry is None:
            return action not in ("copy", "stop", "resume", "remove", "export")
        match action:
            case "stop":
                return entry.live
            case "resume":
                return entry.state in ("stopped", "interrupted", "failed", "new")
            case "remove":
                return not entry.live
            case "export":
                return has_concepts(entry.run.concepts)
            case _:
                return True

    async def action_open(self) -> None:
        """Attach."""
        if (entry := self._current) is not None:
            await self.bas.go("train", run=str(entry.run.path), control=True)

    @on(RunList.Opened)
    async def _opened(self) -> None:
        await self.action_open()

    async def action_watch(self) -> None:
        """Attach read-only."""
        if (entry := self._current) is not None:
            await self.bas.go("train", run=str(entry.run.path), control=False)

    async def action_compose(self) -> None:
        """Prompts."""
        if (entry := self._current) is not None:
            await self.bas.go("compose", run=str(entry.run.path))

    async def action_new(self) -> None:
        """The Scene screen."""
        await self.bas.go("scene")

    # Several runs

    def action_mark(self) -> None:
        """Mark, and go on to the next."""
        self.query_one(RunList).mark()
        self.action_down()

    def action_unmark(self) -> None:
        """No marks."""
        self.query_one(RunList).unmark()

    def action_overlay(self) -> None:
        """The marked runs over each other."""
        chosen = self.query_one(RunList).compared()
        if len(chosen) < 2:
            self.say("there is nothing to compare this run with yet", "warning")
            return
        self.add_class("-overlay")
        self.query_one(Overlay).show(chosen)
        self.set_focus(self.query_one(SameWords))
        self.header = HeaderInfo(run=f"{len(chosen)} runs")
        self.refresh_bindings()

    @on(Overlay.Closed)
    def _overlay_closed(self) -> None:
        self.remove_class("-overlay")
        self.set_focus(self.query_one(RunList))
        self._moved()

    @on(Overlay.Copied)
    def _overlay_copied(self, event: Overlay.Copied) -> None:
        self.bas.copy(event.text)

    def action_full(self) -> None:
        """The scene and nothing else."""
        if (picture := self.query_one(RunFacts).picture) is not None:
            self.app.push_screen(FullPicture(picture))

    def action_copy(self) -> None:
        """The name."""
        if (entry := self._current) is not None:
            self.bas.copy(entry.run.name)

    async def action_resume(self) -> None:
        """Start the host again and watch it."""
        if (entry := self._current) is not None:
            await self.bas.go("train", run=entry.run, control=True, start=True)

    def action_stop(self) -> None:
        """Stop, after a question."""
        from bas_tui.tui.shell.dialogs import Confirm

        if (entry := self._current) is None:
            return
        run, name = entry.run, entry.run.name

        def stop() -> str:
            from bas_tui import client

            client.send(run, "stop")
            return f"{name} stops with a checkpoint"

        def answered(sure: bool | None) -> None:
            if sure:
                self.do(stop, f"bas stop {name}")

        detail = f"A checkpoint is written; `bas resume {name}` goes on from it."
        question = Confirm(f"Stop training {name}?", detail, yes="Stop training", no="Go on")
        self.app.push_screen(question, answered)

    def action_remove(self) -> None:
        """Delete the folder, after a question."""
        from bas_tui.tui.shell.dialogs import Confirm

        if (entry := self._current) is None:
            return
        run, name = entry.run, entry.run.name

        def remove() -> str:
            remove_run(run)
            return f"{name} is gone"

        def answered(sure: bool | None) -> None:
            if sure:
                self.do(remove, f"bas rm {name} --yes")

        def detail(size: str = "...") -> str:
            lost = "Its concepts, checkpoints, pictures and log are deleted."
            return f"{lost}\nThis frees {size} and cannot be undone."

        question = Confirm(
            f"Remove {name}?", detail(), yes="Remove", no="Keep",
            later=lambda: detail(megabytes(folder_size(run))),
        )  # fmt: skip
        self.app.push_screen(question, answered)
