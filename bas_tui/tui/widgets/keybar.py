"""The one line at the bottom: keys of the moment (clickable), messages, kB/s written."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from bas_tui.tui.bindings import display

MESSAGE_SECONDS = 6.0
LEVEL_COLORS = {"info": "$foreground", "warning": "$warning", "error": "$error"}


class KeyBar(Widget):
    """Keys that the focus and the screen offer; a message takes their place for a while."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    KeyBar { height: 1; width: 100%; dock: bottom; background: $panel; color: $foreground; }
    """

    rate: reactive[str] = reactive("")
    message: reactive[tuple[str, str] | None] = reactive(None)
    """Text and level."""

    def __init__(self) -> None:
        super().__init__()
        self._until: Timer | None = None

    def on_mount(self) -> None:
        """Follow the bindings of whatever gets the focus."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.refresh())

    def say(self, text: str, level: str = "info") -> None:
        """Show a message for some seconds."""
        self.message = (text, level)
        if self._until is not None:
            self._until.stop()
        self._until = self.set_timer(MESSAGE_SECONDS, self._quiet)

    def _quiet(self) -> None:
        self.message = None

    def render(self) -> Content:
        """Keys or message at the left, help, palette and the rate at the right."""
        right = Content.from_markup(
            "[@click=app.help][bold $primary]?[/] Help[/] "
            "[@click=app.command_palette][bold $primary]:[/] Palette[/] "
        )
        right = Content.assemble(right, Content.styled(f"{self.rate:>9} ", "$faint"))
        room = self.size.width - right.cell_length - 1
        if self.message is None:
            left = self._keys(room)
        else:
            text, level = self.message
            cut = text if len(text) < room else text[: max(0, room - 2)] + "…"
            left = Content.styled(f" {cut}", f"bold {LEVEL_COLORS.get(level, '$foreground')}")
        gap = max(1, self.size.width - left.cell_length - right.cell_length)
        return Content.assemble(left, " " * gap, right)

    def _keys(self, room: int) -> Content:
        line = Content(" ")
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            name = binding.id or binding.action
            if not binding.show or name in seen or not active.enabled:
                continue
            seen.add(name)
            action = binding.action if "." in binding.action else f"screen.{binding.action}"
            if active.node is not self.screen and active.node is not self.app:
                action = f"focused.{binding.action}"
            item = Content.from_markup(
                f"[@click={action}][bold $primary]$key[/] $label[/]  ",
                key=display(binding.key),
                label=binding.description,
            )
            if line.cell_length + item.cell_length > room:
                break
            line = Content.assemble(line, item)
        return line
