"""The one line at the bottom: keys of the moment (clickable), messages, kB/s written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from textual import events
from textual.dom import DOMNode
from textual.keys import key_to_character
from textual.notifications import SeverityLevel
from textual.timer import Timer

from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.shell.bindings import display, keys_of
from bas_tui.tui.shell.keys import KEYS

MESSAGE_SECONDS, WHOLE_SECONDS = 6.0, 12.0
"""How long a message is on the line, and how long a long one stands above it."""
LEVEL_COLORS = {"info": "foreground", "warning": "warning", "error": "error"}
RATE_WIDTH = 10
_FIXED = tuple(key for key in reversed(KEYS) if key.id in ("app.palette", "app.help"))
"""Always at the right end, from there to the left."""


class _Item(NamedTuple):
    """A key on the line, and what a click on it does."""

    start: int
    end: int
    action: str
    node: DOMNode


class KeyBar(CellCanvas):
    """Keys that the focus and the screen offer; a message takes their place for a while."""

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 100%; dock: bottom; background: $panel; color: $foreground; }
    """

    def __init__(self, labels: Callable[[], Mapping[str, str]] = dict) -> None:
        """`labels`: what an action is called now, where that is not its key's label."""
        super().__init__()
        self._labels = labels
        self._until: Timer | None = None
        self._message: tuple[str, str] | None = None
        self._cut = False
        """Whether there is no room for all of the message."""
        self._rate = ""
        self._items: list[_Item] = []

    def on_mount(self) -> None:
        """Follow the bindings of whatever gets the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.draw())
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.call_later(self.draw))

    def on_resize(self) -> None:
        """Paint into the new width."""
        self.draw()

    @property
    def message(self) -> str:
        """The message that is shown; empty while keys are shown."""
        return self._message[0] if self._message else ""

    def say(self, text: str, level: str = "info") -> None:
        """Show a message for some seconds."""
        self._message = (text, level)
        if self._until is not None:
            self._until.stop()
        self._until = self.set_timer(MESSAGE_SECONDS, self._quiet)
        self.app.clear_notifications()
        self.draw()
        if self._cut and level in ("warning", "error"):
            # What helps comes last: it must not be what is cut off.
            severity: SeverityLevel = "error" if level == "error" else "warning"
            self.app.notify(text, severity=severity, timeout=WHOLE_SECONDS, markup=False)

    def show_rate(self, text: str) -> None:
        """Show the rate of bytes written."""
        if text != self._rate:
            self._rate = text
            self.draw()

    def _quiet(self) -> None:
        self._message = None
        self.draw()

    def draw(self) -> None:
        """Paint the line; only what changed is sent."""
        width = self.size.width
        if not self.is_mounted or not width:
            return
        cells = Cells.blank(1, width)
        self._items = []
        cells.write(0, width - RATE_WIDTH, f"{self._rate:>{RATE_WIDTH - 1}}", self.ink("faint"))
        room = width - RATE_WIDTH
        for key in _FIXED:
            pressed = display(keys_of(key, getattr(self.app, "keymap", {}))[0])
            label = key.label if key.id == "app.help" or width >= 100 else ""
            room -= len(pressed) + len(label) + 2
            self._write_item(cells, room, pressed, label, key.action, self.app)
        if self._message is None:
            self._write_keys(cells, room - 1)
        else:
            text, level = self._message
            self._cut = len(text) >= room - 1
            shown = text[: max(0, room - 3)] + "…" if self._cut else text
            cells.write(0, 1, shown, self.ink(LEVEL_COLORS.get(level, "foreground")))
        self.paint(cells)

    def _write_keys(self, cells: Cells, room: int) -> None:
        column = 1
        seen: set[str] = set()
        focused = self.screen.focused
        labels = self._labels()
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if not binding.show or binding.action in seen or not active.enabled:
                continue
            # Where text is typed, a letter is text: another key of the action, or none, is shown.
            if focused is not None and focused.check_consume_key(key, key_to_character(key)):
                continue
            seen.add(binding.action)
            pressed = display(key)
            label = labels.get(binding.action, binding.description)
            if column + len(pressed) + 1 + len(label) > room:
                continue
            self._write_item(cells, column, pressed, label, binding.action, active.node)
            column += len(pressed) + len(label) + 3

    def _write_item(
        self, cells: Cells, column: int, key: str, label: str, action: str, node: DOMNode
    ) -> None:
        cells.write(0, column, key, self.ink("primary"))
        cells.write(0, column + len(key) + 1, label, self.ink("foreground"))
        self._items.append(_Item(column, column + len(key) + 1 + len(label), action, node))

    async def on_click(self, event: events.Click) -> None:
        """A click does what the key does."""
        for item in self._items:
            if item.start <= event.x < item.end:
                event.stop()
                await self.app.run_action(item.action, item.node)
                return
