"""The pane with the loss chart: which curves, which steps, the cursor, the mouse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from textual import events
from textual.message import Message

from bas_tui.run_state import LOSS_PARTS
from bas_tui.tui.drawing.cells import OWN, Cells
from bas_tui.tui.drawing.chart import MARGIN, ChartView, Curve, draw_chart, plot_columns, step_at
from bas_tui.tui.drawing.palette import LOSS_PART_COLORS
from bas_tui.tui.train.pane import Pane, span_end

TITLES = {"loss": "total", "masked": "masked", "attention": "attention", "prior": "prior"}


@dataclass(frozen=True, kw_only=True)
class ChartOptions:
    """What the person chose to see."""

    parts: tuple[str, ...] = ("loss",)
    log: bool = True
    raw: bool = True
    phase: int = 0
    """Phase that fills the chart; 0 shows the run."""


class LossChart(Pane):
    """Loss over steps."""

    HELP_TEXT = (
        "The loss of every step (dots) and its moving average (line). Click or drag to look at "
        "an earlier step; attention maps and previews follow. The wheel moves step by step. "
        "A click on a name in the top line shows or hides that part of the loss."
    )

    class Scrubbed(Message):
        """The person points at a step; `steps` is relative when `step` is None."""

        def __init__(self, step: int | None, columns: int = 0) -> None:
            super().__init__()
            self.step = step
            self.columns = columns

    class PartToggled(Message):
        """The person clicked on a curve's name."""

        def __init__(self, part: str) -> None:
            super().__init__()
            self.part = part

    def __init__(self) -> None:
        super().__init__("Loss", id="chart")
        self.options = ChartOptions()
        self._legend: list[tuple[int, int, str]] = []

    def span(self) -> tuple[int, int]:
        """First and last step of the chart: a phase, or the run."""
        state = self.state
        plan = state.plan(self.options.phase)
        if plan is not None:
            return plan.first, max(plan.last, plan.first + 1)
        return 1, span_end(state)

    def steps_per_column(self) -> int:
        """Steps that one press of left or right moves."""
        first, last = self.span()
        return max(1, round((last - first) / plot_columns(self.size.width)))

    def paint_pane(self) -> None:
        """Legend in the first row, the chart below."""
        columns, rows = self.size
        cells = Cells.blank(rows, columns)
        if not len(self.state.history):
            self._legend = []
            cells.write(0, 0, "appears with the first step"[:columns], self.ink("faint"))
            self.paint(cells)
            return
        cells.paste(1, 0, draw_chart(self._curves(), self._view(), rows - 1, columns))
        self._write_legend(cells)
        self.paint(cells)

    def _write_legend(self, cells: Cells) -> None:
        """Names of the parts, with their values where there is room."""
        entries = [(part, self._label(part), self._value_text(part)) for part in LOSS_PARTS]
        room = cells.chars.shape[1]
        length = sum(len(label) + 2 for _, label, _ in entries) - 2
        values = length + sum(len(value) for *_, value in entries) <= room - MARGIN
        column = MARGIN if length <= room - MARGIN else 0
        self._legend = []
        for part, label, value in entries:
            text = label + value if values else label
            on = part in self.options.parts
            cells.write(0, column, text, self._color(part) if on else self.ink("faint"))
            self._legend.append((column, column + len(text), part))
            column += len(text) + 2

    def _label(self, part: str) -> str:
        shown = "*" if self.terminal.ascii else "●"
        return f"{shown if part in self.options.parts else '-'} {TITLES[part]}"

    def _value_text(self, part: str) -> str:
        value = self._value(part) if part in self.options.parts else None
        if value is None:
            return ""
        return f" {value:.4f}" if value < 100 else f" {value:.3g}"

    def _view(self) -> ChartView:
        first, last = self.span()
        return ChartView(
            first=first,
            last=last,
            log=self.options.log,
            raw=self.options.raw and self.terminal.colors > 0,
            cursor=self.at,
            dividers=tuple(plan.first for plan in self.state.phases if plan.number > 1),
            ascii=self.terminal.ascii,
            ink=self.ink("foreground"),
            faint=self.ink("faint"),
            accent=self.ink("accent"),
            highlight=self.ink("panel") if self.terminal.colors > 16 else OWN,
        )

    def _curves(self) -> list[Curve]:
        history = self.state.history
        steps = np.frombuffer(history.column("step"))
        return [
            Curve(
                steps=steps,
                raw=np.frombuffer(history.column(part)),
                average=np.frombuffer(history.column(f"ema_{part}")),
                color=self._color(part),
                dim_color=self._dim(self._color(part)),
            )
            for part in reversed(LOSS_PARTS)
            if part in self.options.parts and (part != "prior" or self._has_prior())
        ]

    def _has_prior(self) -> bool:
        return any(value > 0 for value in self.state.history.column("prior"))

    def _value(self, part: str) -> float | None:
        """The moving average at the step under inspection."""
        row = self.state.row_at(self.at)
        value = math.nan if row is None else float(getattr(row, f"ema_{part}"))
        return value if math.isfinite(value) else None

    def _color(self, part: str) -> int:
        if self.terminal.colors == 0:
            return OWN
        if part == "loss":
            return self.ink("foreground")
        red, green, blue = LOSS_PART_COLORS[part]
        if not self.app.current_theme.dark:
            red, green, blue = (int(0.72 * value) for value in (red, green, blue))
        return red << 16 | green << 8 | blue

    def _dim(self, color: int) -> int:
        if color == OWN:
            return OWN
        ground = max(0, self.ink("background"))
        share = 0.42
        mixed = 0
        for shift in (16, 8, 0):
            low, high = ground >> shift & 255, color >> shift & 255
            mixed |= int(low + (high - low) * share) << shift
        return mixed

    def _point(self, event: events.MouseEvent) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            for start, end, part in self._legend:
                if start <= offset.x < end and isinstance(event, events.MouseDown):
                    self.post_message(self.PartToggled(part))
            return
        self.post_message(self.Scrubbed(step_at(offset.x, self._view(), self.size.width)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Look at the step under the mouse."""
        self.capture_mouse()
        self._point(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag through the steps."""
        if event.button and self.app.mouse_captured is self:
            self._point(event)

    def on_mouse_up(self) -> None:
        """End of a drag."""
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel: an earlier step."""
        event.stop()
        self.post_message(self.Scrubbed(None, -1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel: a later step."""
        event.stop()
        self.post_message(self.Scrubbed(None, 1))


def next_cadence(every: int, direction: int, total: int) -> int:
    """The next rounder cadence of previews; 0 means only on request."""
    choices = [0, *sorted({10, 20, 25, 50, 100, 200, 250, 500} & set(range(1, max(total, 11))))]
    if direction > 0:  # More often: fewer steps between previews.
        if every == 0:
            return choices[-1]
        return max((value for value in choices if 0 < value < every), default=every)
    if every == 0:
        return 0
    return min((value for value in choices if value > every), default=0)
