"""The actions of a screen as command lines, and the command palette over the same registry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from bas_tui.tui.shell.bindings import display, keys_of
from bas_tui.tui.shell.key import Key
from bas_tui.tui.shell.screen import BasScreen, shown_screen
from bas_tui.tui.shell.services import Services
from bas_tui.tui.shell.theme import TITLES


class CommandsScreen(ModalScreen[str]):
    """Lists actions with their commands; closes with the command to copy, or an empty text."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,exclamation_mark", "dismiss('')", "Close"),
                ("j", "move(1)", "Down"), ("k", "move(-1)", "Up")]  # fmt: skip

    def __init__(self, commands: list[tuple[Key, str]]) -> None:
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """Title and the list."""
        with Vertical(classes="dialog dialog-wide"):
            yield Static("The same as commands (enter copies)", classes="dialog-title")
            yield OptionList(
                *(
                    Option(
                        Content.assemble(
                            Content.styled(f"{key.label:<20}", "$faint"), f"$ {command}"
                        )
                    )
                    for key, command in self._commands
                ),
                compact=True,
            )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._commands[event.option_index][1])

    def action_move(self, lines: int) -> None:
        """Vim keys."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if lines > 0 else options.action_cursor_up()


class BasCommands(Provider):
    """Every action that is possible now, and every theme."""

    @property
    def _bas(self) -> Services:
        return cast(Services, self.app)

    def _entries(self) -> Iterator[tuple[str, str, partial[Any]]]:
        screen = shown_screen(self.app)
        if screen is None:
            return
        keymap = self._bas.keymap
        names = dict.fromkeys(
            str(getattr(node, "SCOPE", ""))
            for node in (
                *(screen.focused.ancestors_with_self if screen.focused else ()),
                screen,
            )
        )
        for name in (*filter(None, names), "app"):
            for key in self._bas.registry.scope(name):
                if key.id == "app.palette":
                    continue
                node = self._node(screen, key, name)
                if node is None or not self._bas.possible(key.action, node):
                    continue
                pressed = display(keys_of(key, keymap)[0])
                command = screen.command_for(key)
                help_text = f"({pressed}) {key.help}" + (f"  $ {command}" if command else "")
                run = partial(self.app.run_action, key.action, node)
                yield f"{name.capitalize()}: {key.label}", help_text, run
        for theme, title in TITLES.items():
            yield f"Theme: {title}", "Change the colours", partial(self._bas.use_theme, theme)

    def _node(self, screen: BasScreen, key: Key, name: str) -> DOMNode | None:
        if key.action.startswith("app."):
            return self.app
        if name == screen.SCOPE:
            return screen
        focused = screen.focused
        nodes = () if focused is None else focused.ancestors_with_self
        return next((node for node in nodes if getattr(node, "SCOPE", "") == name), None)

    async def discover(self) -> Hits:
        """All entries, before anything is typed."""
        for title, help_text, run in self._entries():
            yield DiscoveryHit(title, run, help=help_text)

    async def search(self, query: str) -> Hits:
        """Entries whose title or help fits what was typed."""
        matcher = self.matcher(query)
        for title, help_text, run in self._entries():
            score = matcher.match(title)
            if score <= 0 and query.lower() in help_text.lower():
                score = 0.1
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, help=help_text)
