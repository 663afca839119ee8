"""The copy keys: try, say what was tried, show the text to whoever presses again."""

from __future__ import annotations

import threading
from typing import Any, cast

from textual.app import App

from bas_tui.tui.shell.clipboard import copy
from bas_tui.tui.shell.dialogs import CopyDialog
from bas_tui.tui.shell.screen import shown_screen
from bas_tui.tui.shell.services import Services
from engine.runs.folder import home

FILE_NAME = "copied.txt"


class Copier:
    """Copies for an application."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._last = ""
        """The text that was copied last; the same again means that it did not arrive."""
        self.unprinted = ""
        """The last text that was shown to be taken by hand; printed when the application closes."""

    def copy(self, text: str, label: str = "") -> None:
        """Try to copy; a second time, or where nothing could be tried, show the text as well."""
        again = text == self._last
        self._last = text

        def work() -> None:
            driver, terminal = self._app._driver, cast(Services, self._app).terminal
            tried = copy(text, terminal, driver.write) if driver is not None else ""
            self._app.call_later(self._tell, text, label or text, tried, again or not tried)

        threading.Thread(target=work, name="copy", daemon=True).start()

    def _tell(self, text: str, label: str, tried: str, shown: bool) -> None:
        screen = shown_screen(self._app)
        if screen is None:
            return
        if not shown:
            screen.bas.say(f"{label} - {tried}; the same key again shows it")
            return
        self.unprinted = text
        path = (screen.folder() or home()) / FILE_NAME
        self._app.push_screen(CopyDialog(text, tried, path), self._shown)

    def _shown(self, words: str | None) -> None:
        self._last = ""
        if words:
            cast(Services, self._app).say(words)
