"""What the run said: notices, checkpoints, previews, newest at the bottom."""

from __future__ import annotations

import math
import textwrap
import time
from typing import NamedTuple

from textual import events

from bas_tui.run_state import RunState
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.train.pane import Pane

LEVEL_COLORS = {"info": "foreground", "warning": "warning", "error": "error"}


class Line(NamedTuple):
    """One entry."""

    time: float
    level: str
    text: str


def log_lines(state: RunState) -> list[Line]:
    """Everything a run said, in order of time."""
    lines = [
        Line(note.time, note.level, f"{note.message}{f' - {note.remedy}' if note.remedy else ''}")
        for note in state.notices
    ]
    lines += [
        Line(point.time, "info", f"checkpoint at step {point.step}") for point in state.checkpoints
    ]
    lines += [Line(shot.time, "info", f"preview at step {shot.step}") for shot in state.previews]
    if state.ended is not None:
        ended = state.ended
        level = "error" if ended.outcome == "failed" else "info"
        text = " - ".join(filter(None, (ended.message, ended.remedy)))
        lines.append(
            Line(
                ended.time,
                level,
                f"{ended.outcome} at step {ended.step}" + (f": {text}" if text else ""),
            )
        )
    lines += [
        Line(state.time, "warning", f"events {gap.first} to {gap.last} never arrived")
        for gap in state.gaps
    ]
    return sorted(lines, key=lambda line: line.time)


class LogPane(Pane):
    """The log, wrapped to the pane; up and down scroll while it has the focus."""

    HELP_TEXT = "What the run said, newest at the bottom. up and down (k, j) scroll."

    def __init__(self) -> None:
        super().__init__("Log", id="log")
        self._back = 0

    def paint_pane(self) -> None:
        """Paint the last lines, or earlier ones when scrolled back."""
        columns, rows = self.size
        title, lines = "Log", log_lines(self.state)
        if self.at is not None:
            title = f"Log until step {self.at}"
            until = _end_of(self.state, self.at)
            lines = [line for line in lines if line.time <= until]
        wrapped: list[tuple[str, str, str]] = []
        for line in lines:
            stamp = time.strftime("%H:%M:%S", time.localtime(line.time)) if columns >= 40 else ""
            indent = len(stamp) + 1 if stamp else 0
            parts = textwrap.wrap(line.text, max(10, columns - indent)) or [""]
            wrapped += [
                (stamp if number == 0 else "", line.level, part)
                for number, part in enumerate(parts)
            ]
        self._back = max(0, min(self._back, len(wrapped) - rows))
        end = len(wrapped) - self._back
        cells = Cells.blank(rows, columns)
        for row, (stamp, level, text) in enumerate(wrapped[max(0, end - rows) : end]):
            cells.write(row, 0, stamp, self.ink("faint"))
            cells.write(row, 9 if columns >= 40 else 0, text, self.ink(LEVEL_COLORS[level]))
        self.set_title(f"{title} · {self._back} lines below" if self._back else title)
        self.paint(cells)

    def scroll_lines(self, by: int) -> None:
        """Scroll back (above 0) or forward."""
        self._back += by
        self.draw()

    def on_key(self, event: events.Key) -> None:
        """Up and down, also as k and j."""
        by = {"up": 1, "k": 1, "down": -1, "j": -1, "pageup": 10, "pagedown": -10}.get(event.key)
        if by is not None:
            event.stop()
            self.scroll_lines(by)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel: back."""
        event.stop()
        self.scroll_lines(2)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel: forward."""
        event.stop()
        self.scroll_lines(-2)


def _end_of(state: RunState, step: int) -> float:
    """When the step behind it was done: a step's maps and preview are written meanwhile."""
    following = state.steps_until(step)
    return state.history[following].time if following < len(state.history) else math.inf
