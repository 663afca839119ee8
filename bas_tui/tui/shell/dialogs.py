"""Small questions and answers over a screen: confirm, show a text that could not be copied."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from bas_tui.tui.drawing.terminal import MIN_HEIGHT, MIN_WIDTH


class Confirm(ModalScreen[bool]):
    """A yes-or-no question; y and n answer it, enter takes the focused button (no)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
        ("left,h,right,l", "app.focus_next", "Other"),
    ]

    def __init__(self, question: str, detail: str = "", yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._texts = (question, detail, yes, no)

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

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class TextDialog(ModalScreen[None]):
    """A text to read or to select with the terminal's own selection; any closing key ends it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter,f1", "dismiss", "Close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Title and the scrollable text."""
        with VerticalScroll(classes="dialog dialog-wide"):
            yield Static(self._title, classes="dialog-title", markup=False)
            yield Static(self._text, markup=False)


class TooSmall(ModalScreen[None]):
    """Says which size is needed while the terminal is too small to show everything."""

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
