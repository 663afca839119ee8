"""The terminal application: screens, themes, keys, and everything that works on every screen."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.text import Text
from textual import events
from textual.app import App
from textual.command import Provider
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter, NoColor
from textual.widget import Widget

from bas_tui import error_log
from bas_tui.tui.drawing.ascii_filter import AsciiFilter
from bas_tui.tui.drawing.plain_filter import PlainFilter
from bas_tui.tui.drawing.terminal import MIN_HEIGHT, MIN_WIDTH, Terminal
from bas_tui.tui.screens import REGISTRY, SCREEN_CLASSES
from bas_tui.tui.shell import preferences
from bas_tui.tui.shell.bindings import bindings_of, keymap_text, read_keymap
from bas_tui.tui.shell.copier import Copier
from bas_tui.tui.shell.drawing_process import DrawingProcess
from bas_tui.tui.shell.key_queue import KeyQueue
from bas_tui.tui.shell.keybar import KeyBar
from bas_tui.tui.shell.keys import KEYS
from bas_tui.tui.shell.picture_style import PictureStyle
from bas_tui.tui.shell.screen import BasScreen, shown_screen
from bas_tui.tui.shell.screen_diff import ScreenDiff
from bas_tui.tui.shell.terminal_driver import ByteMeter, thrifty
from bas_tui.tui.shell.theme import THEMES, TITLES
from engine.core.errors import BasError
from engine.files.atomic import write_atomic


@dataclass(frozen=True, kw_only=True)
class Start:
    """What to show first."""

    screen: str = "runs"
    images: str = ""
    """What pictures are made of (`PictureStyle`); empty: as the person chose last."""
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


def _provider() -> type[Provider]:
    from bas_tui.tui.shell.commands import BasCommands

    return BasCommands


class BasApp(App[int]):
    """A viewer of run folders and hosts. Closing it never touches a run."""

    TITLE = "bas"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ALLOW_SELECT = False
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "f24"
    """The registry binds the palette; this only moves Textual's own key out of the way."""
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_provider}
    BINDINGS = bindings_of(KEYS, "app")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (150, "-very-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall"), (50, "-very-tall")]  # noqa: RUF012

    def __init__(
        self,
        start: Start | None = None,
        *,
        terminal: Terminal | None = None,
        prefs: preferences.Prefs | None = None,
    ) -> None:
        self.meter = ByteMeter()
        self.shown = ScreenDiff()
        self.drawing = DrawingProcess()
        self.terminal = terminal or Terminal()
        self._preferences = preferences.Store(self, prefs or preferences.load())
        self._start = start or Start()
        self._pictures = PictureStyle(self.terminal, lambda: self._driver)
        chosen = self._start.images or self.prefs.blocks
        self.terminal = self._pictures.applied(self.terminal, chosen)
        super().__init__()
        # Textual asks the environment, which neither ssh nor tmux hands on, and knows no slow link.
        self.console = Console(
            color_system=self.terminal.color_system, file=self.console.file, force_terminal=True,
            legacy_windows=False, highlight=False, emoji=False, safe_box=False, soft_wrap=False,
        )  # fmt: skip
        self.no_color = self.terminal.colors == 0
        self.animation_level = "none"
        self.registry = REGISTRY
        self._crash: Exception | None = None
        self._keys = KeyQueue(self, super().on_event)
        self.copier = Copier(self)
        for name, (module, cls) in SCREEN_CLASSES.items():
            self.add_mode(name, self._factory(module, cls))
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.prefs.theme if self.prefs.theme in TITLES else "bas-dark"
        self.keymap, self._keymap_problems = read_keymap(self.keymap_path, self.registry)
        self.set_keymap(self.keymap)
        self._set_terminal_classes()

    @staticmethod
    def _factory(module: str, cls: str) -> Any:
        return lambda: getattr(import_module(module), cls)()

    def get_driver_class(self) -> type[Driver]:
        """The platform's driver, sending only changes and counting them."""
        return thrifty(super().get_driver_class(), self.meter, self.shown)

    def get_line_filters(self) -> list[LineFilter]:
        """Last word on every line: no commands in text; no colours, or ASCII, where wanted."""
        if self.terminal.colors == 0:
            filters: list[LineFilter] = [NoColor()]
        else:
            filters = list(super().get_line_filters())
        filters.append(PlainFilter(self._pictures.shows))
        if self.terminal.ascii:
            filters.append(AsciiFilter())
        return filters

    async def on_mount(self) -> None:
        """Open the first screen."""
        await self.switch_mode(self._start.screen)
        self._open(self._start.arguments)
        self.set_interval(1.0, self._show_rate)
        # What the start made lives as long as the application: no collection need look at it.
        gc.freeze()
        for problem in self._keymap_problems:
            self.say(problem, "warning")

    # Screens

    @property
    def bas_screen(self) -> BasScreen | None:
        """The screen of the application that is shown, below any dialog."""
        return shown_screen(self)

    async def go(self, name: str, **arguments: Any) -> None:
        """Show a screen; with arguments it opens what they name."""
        while self.screen_stack and not isinstance(self.screen, BasScreen):
            await self.pop_screen()
        await self.switch_mode(name)
        self._open(arguments)

    def _open(self, arguments: dict[str, Any]) -> None:
        # Who names nothing gets the default, and only then: two runs must not race for a screen.
        screen = self.bas_screen
        if screen is not None:
            act = partial(screen.open, **arguments) if arguments else screen.open_default
            screen.call_after_refresh(act)

    async def action_go(self, name: str) -> None:
        """Go to a screen, with what this one is about."""
        screen = self.bas_screen
        await self.go(name, **(screen.leads_to(name) if screen is not None else {}))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a cancel key only while there is something to cancel."""
        if action == "cancel":
            return any(screen.under_way() for screen in self._bas_screens())
        return super().check_action(action, parameters)

    def action_cancel(self) -> None:
        """Cancel what is under way on the screen that is shown, else on any other."""
        shown = self.bas_screen
        for screen in sorted(self._bas_screens(), key=lambda screen: screen is not shown):
            if work := screen.under_way():
                screen.cancel()
                self.say(f"cancelling: {work}")
                return

    def possible(self, action: str, node: DOMNode) -> bool:
        """Whether an action is possible now (the palette lists only those)."""
        name = action.partition("(")[0].rpartition(".")[2]
        return bool(node.check_action(name, ()))

    async def on_event(self, event: events.Event) -> None:
        """Keys wait for each other, the mouse for keys."""
        if isinstance(event, events.Key | events.MouseEvent) and not event.is_forwarded:
            await self._keys.take(event)
        else:
            await super().on_event(event)

    def on_resize(self, event: events.Resize) -> None:
        """Ask for more room where there is too little."""
        from bas_tui.tui.shell.dialogs import TooSmall

        self.shown.invalidate()
        small = event.size.width < MIN_WIDTH or event.size.height < MIN_HEIGHT
        shown = isinstance(self.screen, TooSmall)
        if small and not shown:
            self.push_screen(TooSmall())
        elif shown and not small:
            self.pop_screen()

    def action_redraw(self) -> None:
        """Send everything again."""
        self.shown.invalidate()
        self._pictures.forget()
        if (screen := self.bas_screen) is not None:
            screen.terminal_changed()
        self.screen.refresh()

    # Messages, copying, commands

    def say(self, text: str, level: str = "info", command: str = "") -> None:
        """A message in the footer; `command` is the equivalent command line."""
        if (screen := self.bas_screen) is not None and screen.is_mounted:
            screen.call_after_refresh(screen.say, text, level, command)

    def show_error(self, error: BasError) -> None:
        """An error as its message and its remedy."""
        self.say(f"{error.message} - {error.remedy}", "error")

    def copy(self, text: str, label: str = "") -> None:
        """Put a text into the person's clipboard, as far as the terminal lets it."""
        self.copier.copy(text, label)

    def action_show_commands(self) -> None:
        """The actions of this screen as commands; the chosen one is copied."""
        from bas_tui.tui.shell.commands import CommandsScreen

        if (screen := self.bas_screen) is not None:
            commands = screen.commands()
            self.push_screen(
                CommandsScreen(commands), lambda command: self.copy(command) if command else None
            )

    def action_help(self) -> None:
        """Help for the focused part."""
        from bas_tui.tui.shell.help import HelpScreen

        if (screen := self.bas_screen) is not None:
            self.push_screen(HelpScreen(screen, self.keymap))

    def action_jump(self) -> None:
        """Letters on everything that can have the focus."""
        from bas_tui.tui.shell.jump import JumpScreen

        def arrive(widget: Widget | None) -> None:
            if widget is not None:
                widget.focus()

        self.push_screen(JumpScreen(self.screen), arrive)

    # Preferences

    @property
    def prefs(self) -> preferences.Prefs:
        """What the person chose."""
        return self._preferences.now

    def remember(self, **changes: Any) -> None:
        """Change preferences; they outlive this start."""
        self._preferences.use(dataclasses.replace(self.prefs, **changes))

    def on_unmount(self) -> None:
        """Store what is not stored yet; end what draws; the terminal need keep no pictures."""
        self._preferences.flush()
        self.drawing.close()
        self._pictures.forget()

    @property
    def keymap_path(self) -> Path:
        """The person's keymap file."""
        return preferences.config_dir() / "keymap.toml"

    def action_write_keymap(self) -> None:
        """Write a keymap file to be edited; an existing one stays."""
        path = self.keymap_path
        if path.exists():
            self.say(f"your keymap is {path}; it is read at the next start")
            return
        try:
            write_atomic(path, keymap_text(self.registry).encode())
        except OSError as error:
            self.say(f"cannot write {path}: {error.strerror}", "error")
        else:
            self.say(f"wrote {path}; edit it, it is read at the next start")

    def use_theme(self, name: str) -> None:
        """Change to a theme and remember it."""
        self.theme = name
        self.remember(theme=name)
        self.say(f"theme: {TITLES[name]}")

    def action_next_theme(self) -> None:
        """The next theme."""
        names = list(TITLES)
        self.use_theme(names[(names.index(self.theme) + 1) % len(names)])

    def action_toggle_low_bandwidth(self) -> None:
        """Half the redraws, fewer colours - or back."""
        low = not self.terminal.low_bandwidth
        terminal = dataclasses.replace(self.terminal, low_bandwidth=low)
        self._use_terminal(self._pictures.applied(terminal, self.prefs.blocks))
        command = "bas --low-bandwidth" if low else "bas"
        self.say(f"low bandwidth: {'on' if low else 'off'}", command=command)

    def action_toggle_ascii(self) -> None:
        """ASCII only - or back."""
        self._use_terminal(dataclasses.replace(self.terminal, ascii=not self.terminal.ascii))
        self.say("ASCII only" if self.terminal.ascii else "blocks and braille")

    def action_next_blocks(self) -> None:
        """Half-blocks, quadrants, sextants, pixels - in turn; after the last what fits best."""
        chosen = self._pictures.following(self.prefs.blocks)
        self.remember(blocks=chosen)
        self._use_terminal(self._pictures.applied(self.terminal, chosen))
        self.say(self._pictures.words(self.terminal, chosen))

    def _use_terminal(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._set_terminal_classes()
        if (screen := self.bas_screen) is not None:
            screen.terminal_changed()
        self.refresh_css(animate=False)

    def _set_terminal_classes(self) -> None:
        self.shown.paced = self.terminal.low_bandwidth
        self.set_class(self.terminal.ascii, "-ascii")
        self.set_class(self.terminal.colors <= 16, "-few-colors")

    def action_reset_layout(self) -> None:
        """Default preferences, on the screen at once."""
        kept = preferences.Prefs(last_run=self.prefs.last_run)
        self._preferences.use(kept)
        self.theme = kept.theme
        self.terminal = self._pictures.applied(self.terminal, kept.blocks)
        if (screen := self.bas_screen) is not None:
            screen.reset_view()
        self.say("view, filters and theme are back to the defaults")

    # Leaving

    def _handle_exception(self, error: Exception) -> None:
        self._crash = error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """One line, as every error gets; the traceback goes into a file."""
        error = self._crash
        if error is not None:
            place = error_log.record(error)
            text = f"error: {type(error).__name__}: {error} - the traceback is in {place}"
            self.panic(Text(text))

    def action_interrupted(self) -> None:
        """Ctrl-C, out of habit."""
        self.say("q closes this window; the training goes on without it")

    def action_leave(self) -> None:
        """Close; asks only where something unsaved would be lost."""
        from bas_tui.tui.shell.dialogs import Confirm

        losses = [text for screen in self._bas_screens() if (text := screen.unsaved())]
        if not losses:
            self.exit(0)
            return
        self.push_screen(
            Confirm("Close and lose this?", "\n".join(losses), yes="Close", no="Stay"),
            lambda sure: self.exit(0) if sure else None,
        )

    def _bas_screens(self) -> Iterable[BasScreen]:
        for stack in self._screen_stacks.values():
            for screen in stack:
                # One that is being made has no parts yet that could be asked.
                if isinstance(screen, BasScreen) and screen.is_mounted:
                    yield screen

    def _show_rate(self) -> None:
        rate = self.meter.rate()
        if not self.screen_stack:
            return  # The application is closing.
        try:
            self.screen.query_one(KeyBar).show_rate(f"{rate:.1f} kB/s" if rate >= 0.3 else "idle")
        except NoMatches:
            return
