"""What all screens share: header, footer, arguments, equivalent commands, leaving."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from bas_tui.error_log import unexpected
from bas_tui.tui.shell.header import HeaderBar, HeaderInfo
from bas_tui.tui.shell.key import Key
from bas_tui.tui.shell.keybar import KeyBar
from bas_tui.tui.shell.services import Services
from engine.core.errors import BasError
from engine.runs.folder import RunDir


class Done(Message):
    """Work off the event loop came to its end."""

    def __init__(self, text: str, command: str, error: BasError | None) -> None:
        super().__init__()
        self.text = text
        self.command = command
        self.error = error


class BasScreen(Screen[None]):
    """A screen of the application; made once, without arguments, and kept.

    A subclass sets SCOPE and `BINDINGS = bindings_of(KEYS, SCOPE)`, yields its body in
    `compose_body`, takes what the app was asked to show in `open`, and says where it stands in
    `header`.
    """

    SCOPE: ClassVar[str] = ""
    HELP_TEXT: ClassVar[str] = ""
    """What F1 says of the screen where the focused widget has no HELP_TEXT of its own."""
    ALLOW_SELECT = False

    # The header bar repaints itself; repainting the whole screen for it would send 37 kB.
    focused = reactive[Widget | None](None, repaint=False)
    """Textual's own would repaint the screen, 12 kB, at every change of the focus."""

    header: reactive[HeaderInfo] = reactive(HeaderInfo(), repaint=False)

    @property
    def bas(self) -> Services:
        """What the application does for this screen."""
        return cast(Services, self.app)

    def compose(self) -> ComposeResult:
        """Header, body, footer."""
        yield HeaderBar(self.SCOPE).data_bind(info=BasScreen.header)
        yield from self.compose_body()
        yield KeyBar(self.labels_now)

    def compose_body(self) -> Iterable[Widget]:
        """The screen's own widgets; none here."""
        return ()

    def open(self, **arguments: Any) -> None:
        """Show what was asked for: called after mounting, each time the app goes here with
        arguments (`run`, `scene`, `masks`, `base`, `control`, ... as given to `app.go`)."""

    def open_default(self) -> None:
        """Nothing was named: show what comes by itself, where nothing is shown yet."""

    def leads_to(self, name: str) -> dict[str, Any]:
        """Arguments for another screen to which a person goes from here by its key or tab."""
        del name
        return {}

    def under_way(self) -> str:
        """What this screen is doing that can be cancelled, in a few words; empty: nothing."""
        return ""

    def cancel(self) -> None:
        """Cancel it; called only while something is under way."""

    def folder(self) -> Path | None:
        """The folder of the run that this screen is about; None where there is none."""
        return None

    def unsaved(self) -> str:
        """What would be lost by quitting, as a sentence; empty when nothing would."""
        return ""

    def terminal_changed(self) -> None:
        """Draw again: `app.terminal` (ASCII, few colours, slow link) has changed."""

    def reset_view(self) -> None:
        """Take the view from `app.prefs`, which have just been set to the defaults."""

    def labels_now(self) -> dict[str, str]:
        """What the footer calls an action at this moment, where that is not its key's label."""
        return {}

    def command_values(self) -> dict[str, str]:
        """Values for the fields of `Key.command`, such as {"run": "fruit-1122"}."""
        return {"run": self.header.run} if self.header.run else {}

    def command_for(self, key: Key) -> str:
        """The `bas` command that does the same as `key` here; empty where there is none now."""
        try:
            return key.command.format_map(self.command_values())
        except KeyError:
            return ""

    def commands(self) -> list[tuple[Key, str]]:
        """Every action of this screen and of the application that has an equivalent command."""
        registry = self.bas.registry
        keys = (*registry.scope(self.SCOPE), *registry.scope("app"))
        return [(key, command) for key in keys if (command := self.command_for(key))]

    def action_export(self) -> None:
        """The things of the run whose folder this is, for other programs."""
        from bas_tui.tui.shell.export_dialog import ExportDialog

        if (folder := self.folder()) is not None:
            self.app.push_screen(ExportDialog(RunDir(folder)))

    def do(self, work: Callable[[], str], command: str = "") -> None:
        """Work in a thread and say what it returns, or what went wrong; then `look_again`.

        `command` is the equivalent command line.
        """

        def act() -> None:
            text, error = "", None
            try:
                text = work()
            except BasError as problem:
                error = problem
            except OSError as problem:
                error = BasError(str(problem), "check the folder's permissions")
            except Exception as problem:
                error = unexpected(problem, "that failed")
            self.post_message(Done(text, command, error))

        self.run_worker(act, thread=True)

    @on(Done)
    def _done(self, event: Done) -> None:
        event.stop()
        self.look_again()
        if event.error is not None:
            self.bas.show_error(event.error)
        else:
            self.say(event.text, command=event.command)

    def look_again(self) -> None:
        """Read what is shown anew: something was done to it."""

    def say(self, text: str, level: str = "info", command: str = "") -> None:
        """A message in the footer; `command` is the equivalent command line."""
        self.query_one(KeyBar).say(f"{text}   $ {command}" if command else text, level)


def shown_screen(app: App[Any]) -> BasScreen | None:
    """The screen of the application that is shown, below any dialog."""
    for screen in reversed(app.screen_stack):
        if isinstance(screen, BasScreen):
            return screen
    return None
