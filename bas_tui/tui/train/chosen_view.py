"""What the person chose to see of a run: parts of the chart, panes, one of them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.loss_chart import ChartOptions, LossChart

PARTS = ("", "chart", "maps", "preview")
"""What may have the whole screen; empty: all parts share it."""


class ChosenView:
    """Changes the preferences and makes a screen look as they say."""

    def __init__(self, screen: BasScreen, repaint_chart: Callable[[], object]) -> None:
        self._screen = screen
        self._repaint_chart = repaint_chart

    def apply(self, phase: int | None = None) -> None:
        """Take the view from the preferences; `phase` fills the chart (None: as now, 0: all)."""
        prefs, screen = self._screen.bas.prefs, self._screen
        chart = screen.query_one(LossChart)
        phase = chart.options.phase if phase is None else phase
        chart.options = ChartOptions(
            parts=prefs.chart_parts, log=prefs.chart_log, raw=prefs.chart_raw, phase=phase
        )
        scale = "log" if prefs.chart_log else "linear"
        chart.set_title(f"Loss · {scale}" + (f" · phase {phase}" if phase else ""))
        screen.set_class(prefs.lower == "preview", "-no-log")
        screen.set_class(prefs.lower == "log", "-no-preview")
        for part in PARTS[1:]:
            screen.set_class(prefs.train_focus == part, f"-only-{part}")
        # Panes that change their size paint themselves.
        self._repaint_chart()

    def toggle_part(self, part: str) -> None:
        """Show or hide a part of the loss; one always stays."""
        shown = self._screen.bas.prefs.chart_parts
        parts = tuple(name for name in shown if name != part) if part in shown else (*shown, part)
        self._change(chart_parts=parts or shown)

    def toggle_log(self) -> None:
        """A logarithmic or a linear axis."""
        self._change(chart_log=not self._screen.bas.prefs.chart_log)

    def toggle_raw(self) -> None:
        """Single steps behind the average, or not."""
        self._change(chart_raw=not self._screen.bas.prefs.chart_raw)

    def next_lower(self) -> None:
        """Preview and log, preview, log - in turn; a narrow screen shows one of them."""
        now = self._screen.bas.prefs.lower
        if self._screen.has_class("-narrow"):
            following = "both" if now == "log" else "log"
        else:
            following = {"both": "preview", "preview": "log"}.get(now, "both")
        self._change(lower=following)

    def next_part(self) -> None:
        """Chart, maps, preview, all - in turn."""
        now = self._screen.bas.prefs.train_focus
        index = PARTS.index(now) if now in PARTS else 0
        self._change(train_focus=PARTS[(index + 1) % len(PARTS)])

    def next_phase(self) -> None:
        """Phase 1, phase 2, the whole run - in turn - fills the chart."""
        chart = self._screen.query_one(LossChart)
        phases = [0, *(plan.number for plan in chart.state.phases if plan.last >= plan.first)]
        now = chart.options.phase if chart.options.phase in phases else 0
        phase = phases[(phases.index(now) + 1) % len(phases)]
        self.apply(phase)
        self._screen.say(f"phase {phase}" if phase else "the whole run")

    def _change(self, **changes: Any) -> None:
        self._screen.bas.remember(**changes)
        self.apply()
