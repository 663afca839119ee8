"""One line for where the run stands: phases with their steps, speed, time left, or a stage."""

from __future__ import annotations

from bas_tui.run_state import RunState, Stage
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.train.pane import Pane
from engine.core.durations import clock

PHASE_NAMES = {1: "tokens", 2: "weights"}
PENDING = {
    "starting": "starting the host",
    "pausing": "pausing after this step",
    "stopping": "stopping with a checkpoint",
}
PASSING = ("preview", "save")
"""Stages between two steps: said in a few words while the phases stay."""


def facts(state: RunState) -> str:
    """What is said at the right end of the line."""
    match state.status:
        case "training":
            eta = state.eta
            parts = [state.pace, f"{clock(eta)} left" if eta is not None else ""]
            return "  ".join(filter(None, parts))
        case "finished":
            return f"done in {clock(state.time - state.started)}"
        case "starting":
            return "waiting for the host"
        case "new":
            return "not started"
        case "paused" | "stopped" | "failed" | "interrupted":
            return f"{state.status} at step {state.step}"
        case _:
            return ""


class PhaseBar(Pane):
    """The phases as bars."""

    def __init__(self) -> None:
        super().__init__("", id="phases")
        self.pending = ""
        """A state that was asked for and has not come yet."""
        self.remove_class("pane")
        self.can_focus = False

    def paint_pane(self) -> None:
        """Paint the line."""
        columns = self.size.width
        cells = Cells.blank(1, columns)
        state = self.state
        right = facts(state)
        stage = state.stage if not state.over else None
        if self.pending:
            right = PENDING.get(self.pending, self.pending)
            stage = None if stage is not None and stage.name in PASSING else stage
        if stage is not None and stage.name in PASSING:
            right = stage.words + (f" {stage.done}/{stage.total}" if stage.total else "")
            stage = None
        if stage is not None:
            right = self._paint_stage(cells, stage, right)
        else:
            self._paint_phases(cells, columns - len(right) - 2)
        cells.write(0, columns - len(right) - 1, right, self.ink("foreground"))
        self.paint(cells)

    def _paint_stage(self, cells: Cells, stage: Stage, right: str) -> str:
        counted = f" {stage.done}/{stage.total}" if stage.total else ""
        text = f" {stage.words}{counted}"
        if stage.label:
            text += f" - {stage.label}"
        room = cells.chars.shape[1] - len(right) - 2
        bar = min(24, room - len(text) - 2)
        cells.write(0, 0, text[:room], self.ink("accent"))
        if bar >= 6 and stage.total:
            self._bar(cells, len(text) + 1, bar, stage.done / stage.total, "accent")
        return right

    def _paint_phases(self, cells: Cells, room: int) -> None:
        state = self.state
        plans = [plan for plan in state.phases if plan.last >= plan.first]
        if not plans:
            return
        texts = []
        for plan in plans:
            done, total = state.phase_steps(plan.number)
            texts.append(
                (f" {plan.number} {PHASE_NAMES.get(plan.number, '')} ", f" {done}/{total} ")
            )
        taken = sum(len(name) + len(count) for name, count in texts)
        width = max(4, min(60, (room - taken) // len(plans)))
        column = 0
        for plan, (name, count) in zip(plans, texts, strict=True):
            done, total = state.phase_steps(plan.number)
            current = plan.number == state.phase and not state.over
            ink = self.ink("primary" if current else "faint")
            cells.write(0, column, name, self.ink("foreground") if current else ink)
            column += len(name)
            self._bar(cells, column, width, done / total, "primary" if current else "secondary")
            if self.at is not None and plan.first <= self.at <= plan.last:
                mark = column + min(width - 1, (self.at - plan.first) * width // total)
                cells.write(0, mark, "|" if self.terminal.ascii else "┃", self.ink("accent"))
            column += width
            cells.write(0, column, count, self.ink("foreground") if current else ink)
            column += len(count)

    def _bar(self, cells: Cells, column: int, width: int, share: float, color: str) -> None:
        filled = min(width, int(share * width + 1e-9))
        full, empty = ("#", ".") if self.terminal.ascii else ("━", "─")
        cells.write(0, column, full * filled, self.ink(color))
        cells.write(0, column + filled, empty * (width - filled), self.ink("border"))
