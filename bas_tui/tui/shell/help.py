"""F1: what the focused part is for and which keys work there, from the registry of bindings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from bas_tui.tui.shell.bindings import display, keys_of
from bas_tui.tui.shell.key import Key
from bas_tui.tui.shell.screen import BasScreen

WIDEST, FRAME = 96, 8
"""Columns of the dialog, and of its border, padding and scroll bar."""
KEYS_WIDTH, LABEL_WIDTH = 10, 17
INDENT = KEYS_WIDTH + LABEL_WIDTH


class HelpScreen(ModalScreen[None]):
    """Help for one moment of one screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,f1,question_mark,enter", "dismiss", "Close"),
        ("j", "scroll(1)", "Down"),
        ("k", "scroll(-1)", "Up"),
    ]

    def __init__(self, screen: BasScreen, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._about = screen
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """Focused widget first, then the screen, then the application."""
        with VerticalScroll(classes="dialog dialog-wide", id="help"):
            for title, text, keys in self._sections():
                yield Static(title, classes="dialog-title", markup=False)
                if text:
                    yield Static(text, classes="help-text", markup=False)
                if keys:
                    yield Static(self._table(keys), classes="help-keys")
            yield Static(
                "tab and shift+tab move the focus. Keys can be changed: `%` writes a keymap file.",
                classes="help-text",
                markup=False,
            )

    def on_mount(self) -> None:
        """Keys scroll the text."""
        self.query_one("#help").focus()

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.query_one("#help").scroll_relative(y=3 * lines, animate=False)

    def _sections(self) -> Iterable[tuple[str, str, tuple[Key, ...]]]:
        screen = self._about
        scope = screen.bas.registry.scope
        seen: set[str] = set()
        focused = screen.focused
        for node in () if focused is None else focused.ancestors_with_self:
            text = getattr(node, "HELP_TEXT", "")
            name = getattr(node, "SCOPE", "")
            if node is screen or (not text and not name):
                continue
            if name not in seen:
                seen.add(name)
                title = getattr(node, "border_title", "") or name.capitalize()
                yield str(title), text, scope(name)
        title = screen.SCOPE.capitalize()
        yield title, screen.HELP_TEXT, scope(screen.SCOPE)
        yield "Everywhere", "", scope("app")

    def _table(self, keys: tuple[Key, ...]) -> Content:
        """Keys, labels, and the help wrapped beside them."""
        room = max(24, min(WIDEST, int(self.app.size.width * 0.96)) - FRAME - INDENT)
        lines: list[Content] = []
        for key in keys:
            names = " ".join(display(name) for name in keys_of(key, self._keymap)[:3])
            texts = textwrap.wrap(key.help, room)
            command = self._about.command_for(key)
            if command:
                texts += textwrap.wrap(f"$ {command}", room)
            helps = len(texts) - len(textwrap.wrap(f"$ {command}", room) if command else [])
            for number, text in enumerate(texts):
                head = (
                    Content.assemble(
                        Content.styled(f"{names:<{KEYS_WIDTH}}"[: KEYS_WIDTH + 1], "bold $primary"),
                        Content.styled(f"{key.label:<{LABEL_WIDTH}}", "bold"),
                    )
                    if number == 0
                    else Content(" " * INDENT)
                )
                style = "$foreground" if number < helps else "$faint"
                lines.append(Content.assemble(head, Content.styled(text, style)))
        return Content("\n").join(lines)
