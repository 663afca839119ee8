"""Small questions and answers over a screen: confirm, show a text that could not be copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from bas_tui.tui.drawing.terminal import MIN_HEIGHT, MIN_WIDTH
from engine.files.atomic import write_atomic


class Confirm(ModalScreen[bool]):
    """A yes-or-no question; y and n answer it, enter takes the focused button (no).

    `later` is called in a thread while the question stands, and returns the detail anew: what takes
    a while to find out.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
        ("left,h,right,l", "app.focus_next", "Other"),
    ]

    class Known(Message):
        """The detail, found out."""

        def __init__(self, detail: str) -> None:
            super().__init__()
            self.detail = detail

    def __init__(
        self,
        question: str,
        detail: str = "",
        yes: str = "Yes",
        no: str = "No",
        *,
        later: Callable[[], str] | None = None,
    ) -> None:
        super().__init__()
        self._texts = (question, detail, yes, no)
        self._later = later

    def compose(self) -> ComposeResult:
        """Question, detail, two buttons."""
        question, detail, yes, no = self._texts
        with Vertical(classes="dialog"):
            yield Static(question, classes="dialog-title", markup=False)
            if detail:
                yield Static(detail, classes="dialog-detail", markup=False)
            with Horizontal(classes="dialog-buttons"):
                yield Button(f"{no} (n)", id="no", compact=True)
                yield Button(f"{yes} (y)", id="yes", variant="warning", compact=True)

    def on_mount(self) -> None:
        """The harmless answer has the focus."""
        self.query_one("#no").focus()
        if (later := self._later) is not None:
            self.run_worker(lambda: self.post_message(self.Known(later())), thread=True)

    def on_confirm_known(self, event: Known) -> None:
        """Say the detail."""
        self.query_one(".dialog-detail", Static).update(event.detail)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class CopyDialog(ModalScreen[str]):
    """A text to be taken by hand, or written to a file; closes with what is to be said of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,enter,f1,y,Y", "dismiss('')", "Close"), ("w", "write", "Write to a file"),
    ]  # fmt: skip

    def __init__(self, text: str, tried: str, path: Path) -> None:
        super().__init__()
        self._text, self._tried, self._path = text, tried, path

    def compose(self) -> ComposeResult:
        """The text without anything beside it, what was tried, what else there is."""
        tried = self._tried or "This terminal takes no copies."
        if self._tried:
            tried = f"It was {self._tried}; a terminal may refuse that without a word."
        with VerticalScroll(classes="dialog dialog-wide"):
            yield Static("Copy", classes="dialog-title")
            yield Static(self._text, id="copied", markup=False)
            yield Static(tried, classes="dialog-detail", markup=False)
            yield Static(
                "Select the text with shift and the mouse, or press w to write it to\n"
                f"{self._path}. It is also printed when bas closes.",
                classes="dialog-detail", markup=False,
            )  # fmt: skip
            with Horizontal(classes="dialog-buttons"):
                yield Button("Write to a file (w)", id="write", compact=True)
                yield Button("Close (esc)", id="close", compact=True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "write":
            self.action_write()
        else:
            self.dismiss("")

    def action_write(self) -> None:
        """Write the text to the file."""
        try:
            write_atomic(self._path, f"{self._text}\n".encode())
        except OSError as error:
            self.dismiss(f"cannot write {self._path}: {error.strerror}")
        else:
            self.dismiss(f"wrote {self._path}")


class TooSmall(ModalScreen[None]):
    """Says which size is needed while the terminal is too small to show everything."""

    BINDINGS: ClassVar[list[BindingType]] = [("q,ctrl+q", "app.leave", "Quit")]

    def compose(self) -> ComposeResult:
        """One sentence; the size is filled in by `on_resize`."""
        yield Static(id="too-small")

    def on_resize(self) -> None:
        """Say the size of now."""
        width, height = self.app.size
        self.query_one("#too-small", Static).update(
            f"This window has {width} x {height} characters;\n"
            f"bas needs {MIN_WIDTH} x {MIN_HEIGHT}. Please enlarge it.\n\n"
            "Training is not affected. ctrl+q closes."
        )
