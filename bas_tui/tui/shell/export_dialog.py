"""Exports a run's things for other programs: what each form is for, progress, where it lies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widgets import Button, ProgressBar, SelectionList, Static
from textual.widgets.selection_list import Selection

from engine.runs.events import Event, Notice, Progress
from engine.runs.exchange_events import AgreementMeasured, ExportEnded, ExportSaved
from engine.runs.export_targets import TARGETS, Target
from engine.runs.folder import RunDir

if TYPE_CHECKING:
    from bas_tui.client import Exchange
    from bas_tui.tui.shell.services import Services


class Marks(SelectionList[Target]):
    """Textual tells by its colour alone whether a line is marked."""

    def render_line(self, y: int) -> Strip:
        """The line, without the cross where it is not marked."""
        strip = super().render_line(y)
        place = self.scroll_offset.y + y
        if place >= self.option_count or self.get_option_at_index(place).value in self.selected:
            return strip
        left, cross, *rest = strip
        return Strip([left, Segment(" ", cross.style), *rest])


class ExportDialog(ModalScreen[None]):
    """Choose programs, watch the files being written, read where they lie.

    The job is a process of its own and ends with the dialog; escape takes back what is not whole.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the list, to which enter means what space means.
        Binding("enter", "start", "Export", priority=True),
        ("escape", "leave", "Close"),
        ("y", "copy", "Copy the folder"),
    ]
    DEFAULT_CSS = """
    ExportDialog SelectionList { height: auto; background: $surface; border: none; margin: 1 0; }
    ExportDialog ProgressBar { display: none; }
    ExportDialog.-working ProgressBar { display: block; }
    ExportDialog.-working SelectionList, ExportDialog.-ended SelectionList { display: none; }
    ExportDialog #told { height: auto; }
    ExportDialog #told.-error { color: $error; }
    """

    class Told(Message):
        """The job told something."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event

    def __init__(self, run: RunDir) -> None:
        super().__init__()
        self._run = run
        self._job: Exchange | None = None
        self._ended: ExportEnded | None = None
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        """Programs to mark, then what is told."""
        with VerticalScroll(classes="dialog dialog-wide"):
            yield Static(f"Export {self._run.name}", classes="dialog-title", markup=False)
            yield Marks(
                *(
                    Selection[Target](f"{name:11}{what}", name, name == "comfyui")
                    for name, what in TARGETS.items()
                ),
                compact=True,
            )
            yield ProgressBar(total=None, show_eta=False)
            yield Static(id="told", classes="dialog-detail", markup=False)
            with Horizontal(classes="dialog-buttons"):
                yield Button("Export (enter)", id="start", variant="primary", compact=True)
                yield Button("Close (esc)", id="close", compact=True)

    def on_mount(self) -> None:
        """Mark at once."""
        self.query_one(SelectionList).focus()
        self._say(f"space marks. Everything goes to {self._run.exports}; `bas export` has more.")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "start":
            self.action_start()
        else:
            self.action_leave()

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is marked, in the order of the list."""
        marked = self.query_one(SelectionList).selected
        return tuple(name for name in TARGETS if name in marked)

    def action_start(self) -> None:
        """Write what is marked; on the button beside it, close."""
        if self.query_one("#close").has_focus:
            self.action_leave()
            return
        if self._job is not None:
            return
        if not self.targets:
            self._say("Nothing is marked: space marks a line.", error=True)
            return
        from bas_tui import client

        order = client.ExportOrder(
            run=self._run, targets=self.targets, out=self._run.exports, what_fits=True
        )
        self._job = client.Exchange(order)
        self.add_class("-working")
        self.query_one("#start", Button).display = False
        self.query_one("#close", Button).label = "Cancel (esc)"
        self.query_one("#close", Button).focus()
        self._say("starting")
        self.run_worker(self._follow, thread=True, exit_on_error=False)

    def _follow(self) -> None:
        assert self._job is not None
        for event in self._job:
            self.post_message(self.Told(event))

    @on(Told)
    def _told(self, message: Told) -> None:
        event = message.event
        if isinstance(event, Progress):
            self.query_one(ProgressBar).update(total=event.total or None, progress=event.done)
            self._say("\n".join([*self._lines, event.label or event.stage]))
            return
        if isinstance(event, ExportSaved):
            self._lines.append(f"{event.target}: {event.bytes / 1e6:.1f} MB in {event.folder}")
        elif isinstance(event, AgreementMeasured):
            mean = sum(event.psnr) / len(event.psnr)
            self._lines.append(
                f"Pictures of the run and of its LoRA agree to {mean:.1f} dB: {event.sheet}"
            )
        elif isinstance(event, Notice) and event.level != "info":
            self._lines.append(f"{event.message} - {event.remedy}".rstrip(" -"))
        elif isinstance(event, ExportEnded):
            self._end(event)
            return
        self._say("\n".join(self._lines))

    def _end(self, event: ExportEnded) -> None:
        self._ended = event
        self.remove_class("-working")
        self.add_class("-ended")
        self.query_one("#close", Button).label = "Close (esc)"
        self.query_one("#close", Button).focus()
        if event.outcome == "failed":
            self._say("\n".join([*self._lines, f"{event.message} - {event.remedy}"]), error=True)
            return
        width = max(map(len, event.names), default=0)
        words = [f"  {a:{width}}  {b}" for a, b in zip(event.names, event.words, strict=True)]
        self._say(
            "\n".join(
                [*self._lines, "", "Words there:", *words, "",
                 "The README.txt in each folder says what goes where. y copies the folder's path."]
            )
        )  # fmt: skip

    def action_copy(self) -> None:
        """Copy the path of the folder with all exports."""
        if self._ended is not None and self._ended.outcome == "finished":
            cast("Services", self.app).copy(str(self._run.exports))

    def action_leave(self) -> None:
        """Close; a job that runs is cancelled first and says so."""
        if self._job is not None and self._ended is None:
            self._say("cancelling")
            self.run_worker(self._job.cancel, thread=True)
        else:
            self.dismiss()

    def on_unmount(self) -> None:
        """No job outlives its dialog."""
        if self._job is not None and self._ended is None:
            # It may take a while to remove what is not whole.
            threading.Thread(target=self._job.cancel, daemon=True).start()

    def _say(self, text: str, *, error: bool = False) -> None:
        told = self.query_one("#told", Static)
        told.update(text)
        told.set_class(error, "-error")
