"""Says of a failed run what happened, at which step, and the command that goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from bas_tui.run_health import Failure
from engine.runs.folder import RunDir

TAIL_LINES = 12


def log_tail(run: RunDir, lines: int = TAIL_LINES) -> str:
    """The last lines of host.log; empty when there is none."""
    try:
        with run.log.open("rb") as file:
            file.seek(max(0, run.log.stat().st_size - 16384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class FailureScreen(ModalScreen[str]):
    """Closes with `resume`, `copy` or an empty text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("r", "answer('resume')", "Resume"),
        ("y", "answer('copy')", "Copy the command"),
        ("escape,q,enter", "answer('')", "Look at the history"),
    ]

    def __init__(self, failure: Failure, tail: Callable[[], str], control: bool) -> None:
        super().__init__()
        self._failure = failure
        self._tail = tail
        self._control = control

    def compose(self) -> ComposeResult:
        """What, where, how to go on, and the end of the host's log."""
        failure = self._failure
        with VerticalScroll(classes="dialog dialog-wide failure"):
            yield Static(failure.title, classes="dialog-title failure-title", markup=False)
            yield Static(failure.happened, classes="dialog-detail", markup=False)
            yield Static(failure.remedy, classes="dialog-detail", markup=False)
            yield Static(f"$ {failure.command}", classes="dialog-detail command", markup=False)
            with Horizontal(classes="dialog-buttons"):
                if self._control:
                    yield Button("Resume (r)", id="resume", variant="primary", compact=True)
                yield Button("Copy the command (y)", id="copy", compact=True)
                yield Button("Look at the history (esc)", id="close", compact=True)
            if tail := self._tail():
                yield Static("End of host.log", classes="dialog-title", markup=False)
                yield Static(tail, classes="log-tail", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A read-only view cannot resume."""
        return self._control or action != "answer" or parameters != ("resume",)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id if event.button.id != "close" else "")

    def action_answer(self, answer: str) -> None:
        """Close with an answer."""
        self.dismiss(answer)
