"""The Train screen: losses, attention maps, previews of one run - live, paused or long finished."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual import on
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget

from bas_tui.run_state import RunState
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.train.attention_panel import AttentionPanel
from bas_tui.tui.train.chosen_view import ChosenView
from bas_tui.tui.train.history_banner import HistoryBanner
from bas_tui.tui.train.history_cursor import HistoryCursor
from bas_tui.tui.train.keys import KEYS
from bas_tui.tui.train.log_pane import LogPane
from bas_tui.tui.train.loss_chart import LossChart
from bas_tui.tui.train.machine_line import MachineLine
from bas_tui.tui.train.pane import Pane
from bas_tui.tui.train.phase_bar import PhaseBar
from bas_tui.tui.train.preview_pane import PreviewPane
from bas_tui.tui.train.run_control import CONTROLS, RunControl
from bas_tui.tui.train.run_ending import RunEnding
from bas_tui.tui.train.run_follower import Feed
from bas_tui.tui.train.warning_lines import WarningLines
from engine.core.config import PreviewConfig
from engine.core.errors import BasError, UserError
from engine.runs.folder import RunDir
from engine.runs.library import find_run
from engine.runs.manifest import Manifest, read_manifest
from engine.runs.prompts import all_together

HEADER_STATES = {
    "training": "live", "downloading": "starting", "loading": "starting",
    "encoding": "starting", "prior": "starting", "saving": "live",
}  # fmt: skip


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
        self._manifest: Manifest | None = None
        self._state = RunState()
        self._cursor = HistoryCursor()
        self._view = ChosenView(self, self._paint_chart)
        self._ending: RunEnding | None = None
        """Tells how the run on the screen ends."""
        self._feed: Feed | None = None
        self._painted = 0.0
        self._due: Timer | None = None

    def compose_body(self) -> Iterable[Widget]:
        """Phases, machine, warnings, then chart over preview and log, beside the maps."""
        yield PhaseBar()
        yield MachineLine()
        yield WarningLines()
        with Horizontal(id="main"):
            yield HistoryBanner()
            with Vertical(id="left"):
                yield LossChart()
                with Horizontal(id="lower"):
                    yield PreviewPane()
                    yield LogPane()
            yield AttentionPanel()

    def on_mount(self) -> None:
        """Take the view from the preferences."""
        self.reset_view()
        self.set_interval(1.0, self._look_after_start)

    def on_unmount(self) -> None:
        """Let go of the run."""
        self.detach()

    def open_default(self) -> None:
        """The run of last time, else the newest."""
        if self.control is None:
            try:
                self.open(run=find_run(self.bas.prefs.last_run or None))
            except UserError:
                self.open(run=None)

    def open(
        self, *, run: str | RunDir | None = None, control: bool | None = None, start: bool = False,
        **_: Any,
    ) -> None:  # fmt: skip
        """Show a run; `run` None: the newest.

        `control`: whether keys may change it; None: as before, else yes. `start`: start its host.
        """
        try:
            found = run if isinstance(run, RunDir) else find_run(run)
            manifest = read_manifest(found)
        except UserError as error:
            self.bas.show_error(error)
            return
        # One of that name may be gone, and this a new one.
        known = self._manifest.created if self._manifest is not None else None
        if self.control is not None and (self.control.run, known) == (found, manifest.created):
            self.control.allowed = self.control.allowed if control is None else control
        else:
            self._follow(found, manifest, allowed=control is not False)
        if start and self.control is not None:
            self.control.start()
        self._show_header()
        self.refresh_bindings()

    def _follow(self, run: RunDir, manifest: Manifest, *, allowed: bool) -> None:
        self.detach()
        self.control = RunControl(self, run, allowed=allowed)
        self._ending = RunEnding(self, self.control, lambda: (self._manifest or manifest).settings)
        self._cursor = HistoryCursor()
        self._state = RunState(run=run.name, base=manifest.base)
        self.query_one(PreviewPane).folder = run.path
        self._take_settings(manifest)
        self.bas.remember(last_run=run.name)
        self._feed = Feed(run, self.post_message)
        self._feed.start()

    def _take_settings(self, manifest: Manifest) -> None:
        """Settings of the run, which may be others with each host."""
        self._manifest = manifest
        pane = self.query_one(PreviewPane)
        pane.planned = int(manifest.settings.get("preview.every", PreviewConfig.every))

    def leads_to(self, name: str) -> dict[str, Any]:
        """The run's scene, the run's prompts."""
        if self.control is None:
            return {}
        run = self.control.run
        there = {"scene": {"scene": run.scene}, "compose": {"run": run}, "edit": {"run": run}}
        return there.get(name, {})

    def folder(self) -> Path | None:
        """The run's."""
        return self.control.run.path if self.control is not None else None

    @property
    def state(self) -> RunState:
        """What is known of the run."""
        return self._state

    @property
    def at(self) -> int | None:
        """The step under inspection; None follows the newest."""
        return self._cursor.at

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
        if self.control is not None:
            self.control.settle(state)
            if before.over and not state.over:
                with suppress(UserError):
                    self._take_settings(read_manifest(self.control.run))
        self._paint()
        if before.status != state.status:
            self.refresh_bindings()
            if self._ending is not None:
                self._ending.look(state)

    def on_screen_resume(self) -> None:
        """The run may have ended meanwhile."""
        if self._ending is not None:
            self._ending.look(self._state)

    def detach(self) -> None:
        """Follow the run no longer; what is on the screen stays."""
        if self._feed is not None:
            self._feed.stop()

    def _paint(self) -> None:
        """Paint all panes; an earlier step under inspection stays in view while the run goes on."""
        state, at = self._state, self._cursor.at
        self._show_header()
        failure = self._ending.failure(state) if self._ending is not None else None
        self.query_one(WarningLines).show(state, failure)
        self.query_one(HistoryBanner).show(state, at)
        self.query_one(PhaseBar).pending = self.control.pending() if self.control else ""
        for pane in self.query(Pane):
            pane.show(state, at)

    def _show_header(self) -> None:
        state, control, manifest = self._state, self.control, self._manifest
        if control is None or manifest is None:
            self.header = HeaderInfo()
            return
        self.header = HeaderInfo(
            run=control.run.name,
            base=Path(state.base or manifest.base).name,
            device=state.device,
            state=control.pending() or HEADER_STATES.get(state.status, state.status),
            detail="" if control.allowed else "read-only",
        )

    def command_values(self) -> dict[str, str]:
        """The run and its tokens."""
        if self.control is None or (known := self._manifest) is None:
            return {}
        tokens = all_together(known.concepts, known.grammar, by_name=True)
        return {"run": self.control.run.name, "tokens": tokens}

    # Control

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is possible now."""
        if action in ("compose", "export", "result"):
            return self._state.status == "finished"
        if self.control is None:
            return action not in (*CONTROLS, "resume", "copy")
        possible = self.control.possible(action, self._state)
        return possible and super().check_action(action, parameters)

    def labels_now(self) -> dict[str, str]:
        """A paused run goes on by the key that pauses."""
        return {"pause": "Go on"} if self._state.status == "paused" else {}

    @on(RunControl.Asked)
    def _asked(self) -> None:
        if self._ending is not None:
            self._ending.forget()
        self.refresh_bindings()
        self._paint()

    @on(RunControl.Answered)
    def _answered(self, event: RunControl.Answered) -> None:
        event.by.answered(event)
        here = event.by is self.control
        if here:
            self.refresh_bindings()
            self._paint()
        if event.error is not None:
            self.bas.show_error(event.error)
        else:
            self.say(event.text if here else f"{event.by.run.name}: {event.text}",
                     command=event.command)  # fmt: skip
        if here and self._feed is not None and event.word == "start":
            self._feed.wake()

    def _look_after_start(self) -> None:
        control = self.control
        if control is not None and control.look_after_start(self._state):
            self.bas.show_error(
                BasError(f"the host of {control.run.name} is gone", f"see {control.run.log}")
            )
            self._paint()

    def action_pause(self) -> None:
        """Pause, or go on."""
        if self.control is not None:
            self.control.pause(self._state)

    def action_stop(self) -> None:
        """Stop with a checkpoint."""
        if self.control is not None:
            self.control.stop()

    def action_resume(self) -> None:
        """Start a host; after a failure with the settings that avoid it."""
        if self.control is not None and self._ending is not None:
            failure = self._ending.failure(self._state)
            self.control.start(failure.changes if failure is not None else None)

    def action_checkpoint(self) -> None:
        """Write a checkpoint."""
        if self.control is not None:
            self.control.checkpoint(self._state)

    def action_preview(self) -> None:
        """Draw a preview."""
        if self.control is not None:
            self.control.preview(self._state)

    def action_cadence(self, direction: int) -> None:
        """Previews more or less often."""
        if self.control is not None:
            self.control.cadence(self._state, self.query_one(PreviewPane).every, direction)

    async def action_compose(self) -> None:
        """Prompts over what was learned."""
        await self.bas.go("compose", **self.leads_to("compose"))

    def action_result(self) -> None:
        """What was learned, again."""
        if self._ending is not None:
            self._ending.show_card(self._state)

    def action_copy(self) -> None:
        """Copy the run's name."""
        if self.control is not None:
            self.bas.copy(self.control.run.name)

    # Looking around

    def action_scrub(self, columns: int) -> None:
        """Move by chart columns."""
        steps = columns * self.query_one(LossChart).steps_per_column()
        if self._cursor.move(self._state, steps):
            self._paint()

    def action_scrub_first(self) -> None:
        """The first step."""
        if self._cursor.go(self._state, 0):
            self._paint()

    def action_scrub_latest(self) -> None:
        """The newest step, and the ones to come."""
        if self._cursor.go(self._state, None):
            self._paint()

    @on(LossChart.Scrubbed)
    def _scrubbed(self, event: LossChart.Scrubbed) -> None:
        if event.step is None:
            self.action_scrub(event.columns)
        elif self._cursor.go(self._state, event.step):
            self._paint()

    @on(LossChart.PartToggled)
    def _part_toggled(self, event: LossChart.PartToggled) -> None:
        self.action_part(event.part)

    def action_part(self, part: str) -> None:
        """Show or hide a part of the loss."""
        self._view.toggle_part(part)

    def action_toggle_log(self) -> None:
        """Logarithmic or linear."""
        self._view.toggle_log()

    def action_toggle_raw(self) -> None:
        """Single steps."""
        self._view.toggle_raw()

    def action_next_lower(self) -> None:
        """Preview and log, preview, log - in turn."""
        self._view.next_lower()

    def action_maximize_part(self) -> None:
        """Chart, maps, preview, all - in turn."""
        self._view.next_part()

    def action_zoom(self) -> None:
        """Phase 1, phase 2, the whole run - in turn."""
        self._view.next_phase()

    def reset_view(self) -> None:
        """The view of the preferences, unzoomed, newest step."""
        self._cursor.go(self._state, None)
        self._view.apply(0)
        self._paint()

    def terminal_changed(self) -> None:
        """Paint with other means."""
        self._paint()

    def _paint_chart(self) -> None:
        self.query_one(LossChart).show(self._state, self._cursor.at)
