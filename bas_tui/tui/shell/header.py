"""The one line on top: which screen, which run, base model, device, live or finished."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from bas_tui.tui.shell.state_marks import STATE_MARKS, StateMark

SCREENS = {"runs": "Runs", "scene": "Scene", "train": "Train", "compose": "Compose", "edit": "Edit"}
RARE = {"batch": "Batch"}
"""Screens that have a tab only while they are shown."""
LEAST_NAME = 12
"""Letters of a run's name that are left before something else is left out."""


@dataclass(frozen=True, kw_only=True)
class HeaderInfo:
    """What the header says; empty fields are left out."""

    run: str = ""
    base: str = ""
    device: str = ""
    state: str = ""
    """`live`, `paused`, `finished`, ...; words without a mark are shown as they are."""
    detail: str = ""
    """A few words after the state, such as `read-only`."""


class HeaderBar(Widget):
    """Tabs of the screens at the left, the current run at the right."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    HeaderBar { height: 1; width: 100%; dock: top; background: $panel; color: $foreground; }
    """

    info: reactive[HeaderInfo] = reactive(HeaderInfo())

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current
        self._tabs: list[tuple[int, int, str]] = []

    def render(self) -> Content:
        """Tabs, then as much about the run as fits."""
        parts = [Content.styled(" bas ", "bold $primary")]
        self._tabs = []
        column = parts[0].cell_length
        few = getattr(getattr(self.app, "terminal", None), "colors", 256) <= 16
        rare = {name: title for name, title in RARE.items() if name == self._current}
        for name, title in (SCREENS | rare).items():
            here = name == self._current
            text = f"[{title}]" if here and few else f" {title} "
            style = "$foreground"
            if here:
                style = "bold" if few else "bold $background on $primary"
            parts.append(Content.styled(text, style))
            self._tabs.append((column, column + len(text), name))
            column += len(text)
        right = self._status(self.size.width - column - 2)
        gap = max(1, self.size.width - column - right.cell_length - 1)
        return Content.assemble(*parts, " " * gap, right, " ")

    async def on_click(self, event: events.Click) -> None:
        """A click on a tab goes there."""
        for start, end, name in self._tabs:
            if start <= event.x < end:
                await self.app.run_action(f"app.go('{name}')")

    def _status(self, room: int) -> Content:
        info = self.info
        mark = STATE_MARKS.get(info.state, StateMark("", "foreground"))
        state = Content.styled(f"{mark.char} {info.state}".strip(), f"bold ${mark.color}")
        if info.detail:
            state = Content.assemble(state, Content.styled(f" {info.detail}", "$faint"))
        if not info.state:
            state = Content("")
        where = " on ".join(part for part in (info.base, info.device) if part)
        name_room = room - state.cell_length - len(where) - 6
        if name_room < min(len(info.run), LEAST_NAME):
            # Which run it is and how it stands come before what it stands on.
            where, name_room = "", max(8, name_room + len(where) + 3)
        name = info.run if len(info.run) <= name_room else info.run[: name_room - 1] + "…"
        parts = [
            part
            for part in (Content.styled(name, "bold"), Content.styled(where, "$faint"), state)
            if part.cell_length
        ]
        return Content(" · ").join(parts)
