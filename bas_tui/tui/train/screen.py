"""The Train screen: losses, attention maps, previews of one run - live, paused or long finished."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from textual import on
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from bas_tui.run_state import RunState
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.failure import Failure, FailureScreen, failure_of, log_tail
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.attention_panel import AttentionPanel
from bas_tui.tui.train.keys import KEYS
from bas_tui.tui.train.log_pane import LogPane
from bas_tui.tui.train.loss_chart import ChartOptions, LossChart
from bas_tui.tui.train.pane import Pane
from bas_tui.tui.train.phase_bar import PhaseBar
from bas_tui.tui.train.preview_pane import PreviewPane
from bas_tui.tui.train.run_control import CONTROLS, RunControl
from bas_tui.tui.train.run_follower import Feed
from engine.core.config import PreviewConfig
from engine.core.errors import BasError, UserError
from engine.runs.folder import RunDir
from engine.runs.library import find_run
from engine.runs.manifest import read_manifest

PARTS = ("", "chart", "maps", "preview")


class TrainScreen(BasScreen):
    """A viewer of one run. It never owns the run: closing it changes nothing."""

    SCOPE = "train"
    CSS_PATH = "train.tcss"
    AUTO_FOCUS = "#chart"
    BINDINGS = bindings_of(KEYS, "train")
    HELP_TEXT = (
        "One run: its loss, where its tokens look, what it draws. The training runs in its own "
        "process; closing this window does not stop it. left and right go through its history."
    )

    def __init__(self) -> None:
        super().__init__()
        self.control: RunControl | None = None
        """What may be done to the run on the screen; None before there is one."""
        self._state = RunState()
        self._told = ""
        """The failure that has been shown, by status."""
        self._feed: Feed | None = None
        self._at: int | None = None
        self._painted = 0.0
        self._due: Timer | None = None
        self._asked = False

    def compose_body(self) -> Iterable[Widget]:
        """Phases, warnings, then chart over preview and log, beside the maps."""
        yield PhaseBar()
        yield Static(id="warnings", markup=False)
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield LossChart()
                with Horizontal(id="lower"):
                    yield PreviewPane()
                    yield LogPane()
            yield AttentionPanel()

    def on_mount(self) -> None:
        """Take the view from the preferences; open the last run when none was named."""
        self.reset_view()
        self.call_after_refresh(self._open_default)

    def on_unmount(self) -> None:
        """Let go of the run."""
        self.detach()

    def _open_default(self) -> None:
        if self.control is None and not self._asked:
            try:
                self.open(run=self.bas.prefs.last_run or None)
            except BasError as error:
                self.bas.show_error(error)

    def open(self, *, run: str | RunDir | None = None, control: bool = True, **_: Any) -> None:
        """Show a run; None: the newest."""
        self._asked = True
        try:
            found = run if isinstance(run, RunDir) else find_run(run)
            manifest = read_manifest(found)
        except UserError as error:
            self.header = HeaderInfo()
            self.bas.show_error(error)
            return
        if self.control is not None and self.control.run == found:
            self.control.allowed = control
            self._show_header()
            self.refresh_bindings()
            return
        self.detach()
        every = int(manifest.settings.get("preview.every", PreviewConfig.every))
        self.control = RunControl(self, found, allowed=control, preview_every=every)
        self._at, self._told = None, ""
        self._state = RunState(run=found.name, base=manifest.base)
        self.query_one(PreviewPane).folder = found.path
        self.bas.remember(last_run=found.name)
        self._feed = Feed(found, self.post_message)
        self._feed.start()
        self._show_header()

    @property
    def state(self) -> RunState:
        """What is known of the run."""
        return self._state

    @property
    def at(self) -> int | None:
        """The step under inspection; None follows the newest."""
        return self._at

    # From the feed to the panes

    @on(Feed.Changed)
    def _changed(self, event: Feed.Changed) -> None:
        if event.feed is not self._feed:
            return
        wait = self._painted + self.bas.terminal.cadence - time.monotonic()
        if event.urgent or wait <= 0:
            self._take()
        elif self._due is None:
            self._due = self.set_timer(wait, self._take)

    def _take(self) -> None:
        if self._due is not None:
            self._due.stop()
            self._due = None
        if self._feed is None:
            return
        self._painted = time.monotonic()
        self.present(self._feed.take())

    def present(self, state: RunState) -> None:
        """Show a newer state of the run."""
        before, self._state = self._state, state
        self._paint(live=True)
        if before.status != state.status:
            self.refresh_bindings()
            self._tell_failure()

    def detach(self) -> None:
        """Follow the run no longer; what is on the screen stays."""
        if self._feed is not None:
            self._feed.stop()

    def _paint(self, live: bool = False) -> None:
        """Paint all panes; while the person looks at an earlier step only what is live moves."""
        state, at = self._state, self._at
        self._show_header()
        self._show_warnings()
        if self.control is not None:
            self.query_one(PreviewPane).every = self.control.preview_every
        for pane in self.query(Pane):
            if live and at is not None and isinstance(pane, AttentionPanel | PreviewPane):
                continue
            pane.show(state, at)

    def _show_header(self) -> None:
        state, control = self._state, self.control
        name = control.run.name if control is not None else ""
        shown = {"training": "live", "downloading": "starting", "loading": "starting",
                 "encoding": "starting", "prior": "starting", "saving": "live"}  # fmt: skip
        self.header = HeaderInfo(
            run=name,
            base=Path(state.base).name,
            device=state.device,
            state=shown.get(state.status, state.status) if name else "",
            detail="" if control is None or control.allowed else "read-only",
        )

    def _show_warnings(self) -> None:
        failure = self._failure()
        lines = [
            f"⚠ {warned.message} - {warned.remedy}"
            for warned in self._state.warnings
            if failure is None or warned.kind != "nan"
        ]
        if failure is not None:
            lines.insert(0, f"✗ {failure.title} (step {self._state.step})   $ {failure.command}")
        widget = self.query_one("#warnings", Static)
        text = "\n".join(lines[:3])
        if str(widget.content) != text:
            widget.update(text)
            widget.set_class(bool(text), "-shown")
            widget.set_class(failure is not None, "-failed")

    def _failure(self) -> Failure | None:
        return failure_of(self.control.run, self._state) if self.control is not None else None

    def _tell_failure(self) -> None:
        """Show a failure once, in full."""
        failure, control = self._failure(), self.control
        if failure is None or control is None or self._told == self._state.status:
            return
        self._told = self._state.status

        def answered(answer: str | None) -> None:
            if answer == "resume":
                self.action_resume()
            elif answer == "copy":
                self.bas.copy(failure.command)

        self.app.push_screen(
            FailureScreen(failure, partial(log_tail, control.run), control.allowed), answered
        )

    def command_values(self) -> dict[str, str]:
        """The run and its tokens."""
        if self.control is None:
            return {}
        tokens = " and ".join(f"<{concept.name}>" for concept in self._state.concepts)
        return {"run": self.control.run.name, **({"tokens": tokens} if tokens else {})}

    # Control

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is possible now."""
        if self.control is None:
            return action not in (*CONTROLS, "resume", "copy")
        if self.control.possible(action, self._state):
            return super().check_action(action, parameters)
        return False

    @on(RunControl.Answered)
    def _answered(self, event: RunControl.Answered) -> None:
        if event.error is not None:
            self.bas.show_error(event.error)
        else:
            self.say(event.text, command=event.command)

    def action_pause(self) -> None:
        """Pause, or go on."""
        if self.control is not None:
            self.control.pause(self._state)

    def action_stop(self) -> None:
        """Stop with a checkpoint."""
        if self.control is not None:
            self.control.stop()

    def action_resume(self) -> None:
        """Start a host again."""
        if self.control is not None:
            self._told = ""
            self.control.start()

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        if self.control is not None:
            self.control.checkpoint()

    def action_preview(self) -> None:
        """Draw a preview."""
        if self.control is not None:
            self.control.preview()

    def action_cadence(self, direction: int) -> None:
        """Previews more or less often."""
        if self.control is not None:
            self.control.cadence(direction, self._state.total_steps)
            self._paint()

    def action_copy(self) -> None:
        """Copy the run's name."""
        if self.control is not None:
            self.bas.copy(self.control.run.name)

    # Looking around

    def action_scrub(self, columns: int) -> None:
        """Move by chart columns; past the newest step the view is live again."""
        state = self._state
        if not len(state.history):
            return
        newest, first = int(state.history[-1].step), int(state.history[0].step)
        here = self._at if self._at is not None else newest
        step = here + columns * self.query_one(LossChart).steps_per_column()
        self._look_at(None if step >= newest else max(first, step))

    def action_scrub_first(self) -> None:
        """The first step."""
        if len(self._state.history):
            self._look_at(int(self._state.history[0].step))

    def action_scrub_latest(self) -> None:
        """The newest step, and the ones to come."""
        self._look_at(None)

    def _look_at(self, step: int | None) -> None:
        if step != self._at:
            self._at = step
            self._paint()

    @on(LossChart.Scrubbed)
    def _scrubbed(self, event: LossChart.Scrubbed) -> None:
        if event.step is None:
            self.action_scrub(event.columns)
        elif len(self._state.history):
            newest, first = int(self._state.history[-1].step), int(self._state.history[0].step)
            self._look_at(None if event.step >= newest else max(first, event.step))

    @on(LossChart.PartToggled)
    def _part_toggled(self, event: LossChart.PartToggled) -> None:
        self.action_part(event.part)

    def action_part(self, part: str) -> None:
        """Show or hide a part of the loss; one always stays."""
        shown = self.bas.prefs.chart_parts
        parts = tuple(name for name in shown if name != part) if part in shown else (*shown, part)
        self._change_view(chart_parts=parts or shown)

    def action_toggle_log(self) -> None:
        """Logarithmic or linear."""
        self._change_view(chart_log=not self.bas.prefs.chart_log)

    def action_toggle_raw(self) -> None:
        """Single steps."""
        self._change_view(chart_raw=not self.bas.prefs.chart_raw)

    def action_next_lower(self) -> None:
        """Preview and log, preview, log - in turn; a narrow screen shows one of them."""
        now = self.bas.prefs.lower
        if self.has_class("-narrow"):
            following = "both" if now == "log" else "log"
        else:
            following = {"both": "preview", "preview": "log"}.get(now, "both")
        self._change_view(lower=following)

    def action_maximize_part(self) -> None:
        """Chart, maps, preview, all - in turn."""
        index = (
            PARTS.index(self.bas.prefs.train_focus) if self.bas.prefs.train_focus in PARTS else 0
        )
        self._change_view(train_focus=PARTS[(index + 1) % len(PARTS)])

    def action_zoom(self) -> None:
        """Phase 1, phase 2, the whole run - in turn."""
        chart = self.query_one(LossChart)
        phases = [0, *(plan.number for plan in self._state.phases if plan.last >= plan.first)]
        now = chart.options.phase if chart.options.phase in phases else 0
        phase = phases[(phases.index(now) + 1) % len(phases)]
        self._apply_view(phase)
        self.say(f"phase {phase}" if phase else "the whole run")

    def _change_view(self, **changes: Any) -> None:
        self.bas.remember(**changes)
        self._apply_view(self.query_one(LossChart).options.phase)

    def reset_view(self) -> None:
        """The view of the preferences, unzoomed, newest step."""
        self._at = None
        self._apply_view(0)
        self._paint()

    def terminal_changed(self) -> None:
        """Paint with other means."""
        self._paint()

    def _apply_view(self, phase: int) -> None:
        prefs = self.bas.prefs
        chart = self.query_one(LossChart)
        chart.options = ChartOptions(
            parts=prefs.chart_parts, log=prefs.chart_log, raw=prefs.chart_raw, phase=phase
        )
        scale = "log" if prefs.chart_log else "linear"
        chart.set_title(f"Loss · {scale}" + (f" · phase {phase}" if phase else ""))
        self.set_class(prefs.lower == "preview", "-no-log")
        self.set_class(prefs.lower == "log", "-no-preview")
        for part in PARTS[1:]:
            self.set_class(prefs.train_focus == part, f"-only-{part}")
        # Panes that change their size paint themselves.
        chart.show(self._state, self._at)
