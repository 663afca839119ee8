"""What the application does for its screens and dialogs, so that they need not know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from textual.dom import DOMNode

from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.shell.bindings import Registry
from bas_tui.tui.shell.drawing_process import DrawingProcess
from bas_tui.tui.shell.preferences import Prefs
from engine.core.errors import BasError


class Services(Protocol):
    """The application as a screen sees it."""

    @property
    def terminal(self) -> Terminal:
        """What the terminal can show."""
        ...

    @property
    def prefs(self) -> Prefs:
        """What the person chose, now and at earlier starts."""
        ...

    @property
    def registry(self) -> Registry:
        """All keys."""
        ...

    @property
    def keymap(self) -> Mapping[str, str]:
        """Keys by id that the person changed."""
        ...

    @property
    def drawing(self) -> DrawingProcess:
        """The one process that draws, for all screens."""
        ...

    async def go(self, name: str, **arguments: Any) -> None:
        """Show a screen; with arguments it opens what they name."""
        ...

    def remember(self, **changes: Any) -> None:
        """Change preferences; they outlive this start."""
        ...

    def say(self, text: str, level: str = "info", command: str = "") -> None:
        """A message in the footer of the screen that is shown."""
        ...

    def show_error(self, error: BasError) -> None:
        """An error as its message and its remedy."""
        ...

    def copy(self, text: str, label: str = "") -> None:
        """Put a text into the person's clipboard, as far as the terminal lets it."""
        ...

    def use_theme(self, name: str) -> None:
        """Change to a theme and remember it."""
        ...

    def possible(self, action: str, node: DOMNode) -> bool:
        """Whether an action is possible now on a widget, a screen or the application."""
        ...
