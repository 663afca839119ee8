"""Asks for one line of text: a name, a folder, settings - checked before the dialog closes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from engine.core.errors import UserError

NO_PATH = (OSError, RuntimeError, ValueError)
"""What a text brings about that no system takes as a path: too long, `~nobody`, unreadable."""


class PathSuggester(Suggester):
    """Completes the last part of a path; right arrow takes the suggestion."""

    def __init__(self, suffixes: tuple[str, ...] = ()) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._suffixes = suffixes

    async def get_suggestion(self, value: str) -> str | None:
        """The first fitting entry of the folder that is being typed."""
        try:
            return self._first_fitting(value)
        except NO_PATH:
            return None

    def _first_fitting(self, value: str) -> str | None:
        typed = Path(value).expanduser()
        folder, start = (typed, "") if value.endswith(os.sep) else (typed.parent, typed.name)
        for entry in sorted(folder.iterdir()):
            hidden = entry.name.startswith(".") and not start.startswith(".")
            if hidden or not entry.name.startswith(start) or entry.name == start:
                continue
            if entry.is_dir() or not self._suffixes or entry.suffix.lower() in self._suffixes:
                return value + entry.name[len(start) :] + (os.sep if entry.is_dir() else "")
        return None


Choices = Sequence[tuple[str, str]]
"""Labels, each with the text that it stands for."""


class Ask(ModalScreen[str | None]):
    """Closes with the text, or None.

    `check` raises UserError for a text that will not do: the dialog then stays and says why.
    `remark` tells while typing what the text would mean. `choices` are (label, text) pairs below
    the line; choosing one is the same as typing it. A function that returns them is called in a
    thread while the dialog is up; its UserError is said. `problem` is what went wrong before.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "Cancel"), ("down", "choices", "Choices"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    Ask .dialog-title { width: 100%; }
    Ask Input { margin: 1 0 0 0; }
    Ask #remark { color: $faint; height: auto; }
    Ask #remark.-error { color: $error; }
    Ask OptionList { height: auto; max-height: 10; margin: 1 0 0 0; }
    Ask OptionList { background: $surface; border: none; }
    Ask #keys { color: $faint; padding: 1 0; }
    """

    class Found(Message):
        """What a function said can be chosen, or why there is nothing."""

        def __init__(self, choices: Choices, problem: str = "") -> None:
            super().__init__()
            self.choices, self.problem = choices, problem

    def __init__(
        self,
        title: str,
        value: str = "",
        *,
        hint: str = "",
        check: Callable[[str], object] | None = None,
        remark: Callable[[str], str] | None = None,
        choices: Choices | Callable[[], Choices] = (),
        suggester: Suggester | None = None,
        problem: str = "",
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint = title, value, hint
        self._check, self._remark = check, remark
        self._find = choices if callable(choices) else None
        self._choices = () if callable(choices) else tuple(choices)
        self._suggester = suggester
        self._problem = problem

    def compose(self) -> ComposeResult:
        """Title, line, remark, choices."""
        with Vertical(id="ask", classes="dialog"):
            yield Static(self._title, classes="dialog-title", markup=False)
            yield Input(
                self._value, placeholder=self._hint, suggester=self._suggester, compact=True,
                select_on_focus=False,
            )  # fmt: skip
            yield Static(id="remark", markup=False)
            keys = "enter takes it, escape cancels"
            if self._choices or self._find is not None:
                yield OptionList(*self._options(), compact=True)
                keys += ", down goes to the list"
            yield Static(keys, id="keys")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()
        self._say(self._value)
        if self._problem:
            self._complain(self._problem)
        if (find := self._find) is not None:
            self.query_one(OptionList).add_option(Option("reading ...", disabled=True))
            self.run_worker(lambda: self._found(find), thread=True)

    def _found(self, find: Callable[[], Choices]) -> None:
        try:
            self.post_message(self.Found(find()))
        except UserError as error:
            self.post_message(self.Found((), str(error)))

    def on_ask_found(self, event: Found) -> None:
        """Offer what was found."""
        self._choices = tuple(event.choices)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._options())
        if event.problem:
            self._complain(event.problem)

    def _options(self) -> list[Option]:
        return [Option(Content(label)) for label, _ in self._choices]

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        if event.value != self._value:
            self._say(event.value)

    def _say(self, value: str) -> None:
        try:
            text = self._remark(value) if self._remark else ""
        except NO_PATH as error:
            self._complain(_cannot_be(error))
        else:
            self._show(text, error=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        options = self.query(OptionList)
        if not event.value.strip() and options and options.first().highlighted is not None:
            self._take(self._choices[options.first().highlighted or 0][1])
        else:
            self._take(event.value)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._take(self._choices[event.option_index][1])

    def _take(self, value: str) -> None:
        try:
            if self._check is not None:
                self._check(value)
        except UserError as error:
            self._complain(str(error))
        except NO_PATH as error:
            self._complain(_cannot_be(error))
        else:
            self.dismiss(value)

    def _complain(self, problem: str) -> None:
        self._show(problem, error=True)

    def _show(self, text: str, *, error: bool) -> None:
        remark = self.query_one("#remark", Static)
        remark.update(text)
        remark.display = bool(text)
        remark.set_class(error, "-error")

    def action_choices(self) -> None:
        """From the line to the list below."""
        if self._choices and self.query_one(Input).has_focus:
            self.query_one(OptionList).focus()


def _cannot_be(error: Exception) -> str:
    """That a text cannot be taken, and why."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    return f"that cannot be: {why}"
