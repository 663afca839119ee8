"""Folds a run's events into one frozen state, shared by the CLI's progress and the terminal app.

`reduce` is pure towards its caller: every state stays valid for ever. It is amortised O(1) per
event, because the histories are shared append-only views (`bas_tui.append_only`); only the first
event after a resume copies what is kept.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from bas_tui.append_only import Log, Table
from engine.core.durations import PHASE2_COST
from engine.runs.events import (
    AttentionMaps,
    CheckpointSaved,
    ConceptInfo,
    Event,
    MachineLoad,
    Notice,
    Paused,
    PhasePlan,
    PhaseStarted,
    PreviewSaved,
    Progress,
    Resumed,
    RunEnded,
    RunStarted,
    SettingChanged,
    StepDone,
)

Status = Literal[
    "starting", "downloading", "loading", "encoding", "prior", "saving", "training", "paused",
    "finished", "stopped", "failed", "interrupted", "new",
]  # fmt: skip
STAGE_STATUS: dict[str, Status] = {
    "download": "downloading",
    "load": "loading",
    "words": "encoding",
    "encode": "encoding",
    "prior": "prior",
    "save": "saving",
}
"""A stage that is no key here (a preview, say) leaves the status as it is."""
STAGE_WORDS = {
    "download": "downloading the base model",
    "load": "loading the base model",
    "words": "looking for start words",
    "encode": "encoding the scene",
    "prior": "drawing prior pictures",
    "preview": "drawing a preview",
    "generate": "drawing",
    "save": "saving",
}

ENDED: frozenset[Status] = frozenset({"finished", "stopped", "failed", "interrupted", "new"})
LOSS_PARTS = ("loss", "masked", "attention", "prior")
EMA_WEIGHT = 0.05
"""Weight of the newest step in the moving averages, once 20 steps of the phase are done."""


class StepRow(NamedTuple):
    """One step of the loss history; the `ema_` columns restart at each phase."""

    step: float
    phase: float
    loss: float
    masked: float
    attention: float
    prior: float
    grad_norm: float
    seconds: float
    time: float
    """Seconds since the epoch."""
    ema_loss: float
    ema_masked: float
    ema_attention: float
    ema_prior: float
    ema_seconds: float


class AttentionFrame(NamedTuple):
    """A token's map at one step; `packed` is what `engine.runs.events.unpack_map` reads."""

    step: int
    packed: str
    iou: float
    leak: float


class Stage(NamedTuple):
    """A stage outside the step loop; `total` 0 means unknown."""

    name: str
    label: str
    done: int
    total: int

    @property
    def words(self) -> str:
        """What is being done."""
        return STAGE_WORDS.get(self.name, self.name)


class Gap(NamedTuple):
    """Event numbers `first`..`last` never arrived."""

    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything the events of one run say, up to event `seq`."""

    run: str = ""
    base: str = ""
    device: str = ""
    precision: str = ""
    resolution: int = 0
    grid: int = 0
    concepts: tuple[ConceptInfo, ...] = ()
    phases: tuple[PhasePlan, ...] = ()
    total_steps: int = 0
    start_step: int = 0
    """Step the live (or last) host started from: above 0 after a resume."""

    status: Status = "starting"
    step: int = 0
    phase: int = 0
    stage: Stage | None = None
    trained_parameters: int = 0
    history: Table[StepRow] = field(default_factory=lambda: Table(StepRow._make, StepRow._fields))
    last: StepDone | None = None
    nan_step: int | None = None
    """First step whose loss was not a number."""

    attention: Mapping[str, Log[AttentionFrame]] = field(
        default_factory=dict[str, Log[AttentionFrame]]
    )
    """Frames by token, oldest first."""
    previews: Log[PreviewSaved] = field(default_factory=Log[PreviewSaved])
    checkpoints: Log[CheckpointSaved] = field(default_factory=Log[CheckpointSaved])
    notices: Log[Notice] = field(default_factory=Log[Notice])
    machine: Log[MachineLoad] = field(default_factory=Log[MachineLoad])
    """How busy the live host's machine was, while somebody looked; no part of the run."""
    ended: RunEnded | None = None
    preview_every: int | None = None
    """Steps between previews as changed since the host started; None: as the run's settings say."""

    seq: int = -1
    """Number of the last event; -1 before the first."""
    started: float = 0.0
    """Time of the last `run_started`, seconds since the epoch."""
    time: float = 0.0
    """Time of the last event."""
    gaps: tuple[Gap, ...] = ()

    @property
    def over(self) -> bool:
        """Whether no host is at work: it ended, is gone, or was never started."""
        return self.status in ENDED

    @property
    def fraction(self) -> float:
        """Share of the steps that is done, 0..1."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    @property
    def rate(self) -> float | None:
        """Steps per second, a moving average over the current phase; None before the first."""
        seconds = self.seconds_per_step(self.phase)
        return 1 / seconds if seconds else None

    @property
    def pace(self) -> str:
        """The rate in words: `5.3 it/s`, or `2.4 s/it` of a slow run; empty before the first."""
        if self.rate is None:
            return ""
        return f"{self.rate:.1f} it/s" if self.rate >= 1 else f"{1 / self.rate:.1f} s/it"

    @property
    def eta(self) -> float | None:
        """Seconds of training left over all phases; None where nothing was measured yet."""
        parts = [self.phase_eta(plan.number) for plan in self.phases]
        return (
            None if not parts or None in parts else sum(part for part in parts if part is not None)
        )

    def plan(self, number: int) -> PhasePlan | None:
        """The plan of phase `number`, or None."""
        return next((plan for plan in self.phases if plan.number == number), None)

    def plan_of(self, step: int) -> PhasePlan | None:
        """The plan of the phase that a step belongs to, or None."""
        return next((plan for plan in self.phases if plan.first <= step <= plan.last), None)

    def phase_steps(self, number: int) -> tuple[int, int]:
        """Steps done and planned in a phase."""
        plan = self.plan(number)
        if plan is None:
            return 0, 0
        total = max(0, plan.last - plan.first + 1)
        return max(0, min(total, self.step - plan.first + 1)), total

    def phase_eta(self, number: int) -> float | None:
        """Seconds of training left in a phase; None where nothing was measured yet."""
        done, total = self.phase_steps(number)
        if done == total:
            return 0.0
        seconds = self.seconds_per_step(number)
        return None if seconds is None else (total - done) * seconds

    def seconds_per_step(self, number: int) -> float | None:
        """Measured in that phase, else scaled from the current one; None before any step."""
        if not len(self.history):
            return None
        row = self.history[-1]
        if math.isnan(row.ema_seconds):
            return None
        if number == row.phase:
            return row.ema_seconds
        return row.ema_seconds * (PHASE2_COST if number > row.phase else 1 / PHASE2_COST)

    def steps_until(self, step: int) -> int:
        """How many rows of the history are of `step` or before."""
        return bisect_right(self.history.column("step"), step)

    def row_at(self, step: int | None) -> StepRow | None:
        """The newest row at or before `step` (None: of all); None where there is none."""
        count = len(self.history) if step is None else self.steps_until(step)
        return self.history[count - 1] if count else None

    def ema(self, part: str = "loss") -> float | None:
        """The moving average of a loss part (`LOSS_PARTS`) at the last step."""
        if not len(self.history):
            return None
        return getattr(self.history[-1], f"ema_{part}")


def reduce(state: RunState, event: Event) -> RunState:
    """The state after one more event; an event already seen (by `seq`) changes nothing."""
    if isinstance(event, MachineLoad):
        if len(state.machine) and event.time <= state.machine[-1].time:
            return state  # A new connection tells the last ones again.
        return replace(state, machine=state.machine.append(event))
    if event.seq <= state.seq and state.seq > 0:
        return state
    gaps = state.gaps
    if state.seq >= 0 and event.seq > state.seq + 1:
        gaps = (*gaps, Gap(state.seq + 1, event.seq - 1))
    state = _apply(state, event)
    return replace(state, seq=max(state.seq, event.seq), time=event.time or state.time, gaps=gaps)


def by_names(prompt: str, concepts: Iterable[ConceptInfo]) -> str:
    """A prompt with the things' names in place of their tokens, as people read it."""
    for concept in concepts:
        prompt = prompt.replace(concept.token, f"<{concept.name}>")
    return prompt


def reduce_all(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Fold many events, from an empty state where none is given."""
    state = RunState() if state is None else state
    for event in events:
        state = reduce(state, event)
    return state


def interrupted(state: RunState) -> RunState:
    """The state of a run without a host: its last one left no last word, or none was started."""
    if state.over:
        return state
    return replace(state, status="new" if state.seq < 0 else "interrupted", stage=None)


def _apply(state: RunState, event: Event) -> RunState:
    match event:
        case StepDone():
            return _step(state, event)
        case AttentionMaps():
            frames = dict(state.attention)
            for token in event.maps:
                frame = AttentionFrame(event.step, token.map, token.iou, token.leak)
                log: Log[AttentionFrame] = frames.get(token.token, Log())
                frames[token.token] = log.append(frame)
            return replace(state, attention=frames)
        case RunStarted():
            return _started(state, event)
        case PhaseStarted():
            return replace(
                state, phase=event.phase, trained_parameters=event.trained_parameters,
                status="training", stage=None,
            )  # fmt: skip
        case Progress():
            stage = Stage(event.stage, event.label, event.done, event.total)
            status = STAGE_STATUS.get(event.stage, state.status)
            if state.status == "paused":
                status = state.status
            # An ended host says nothing more: this is the next one, at work before it says so.
            return replace(state, stage=stage, status=status, ended=None)
        case PreviewSaved():
            return replace(state, previews=state.previews.append(event), stage=None)
        case CheckpointSaved():
            checkpoints = state.checkpoints.append(event)
            return replace(state, checkpoints=checkpoints, stage=None, status=_active(state))
        case Notice():
            return replace(state, notices=state.notices.append(event))
        case Paused():
            return replace(state, status="paused", stage=None)
        case Resumed():
            return replace(state, status="training")
        case SettingChanged():
            if event.key == "preview.every":
                return replace(state, preview_every=event.value)
            return state
        case RunEnded():
            return replace(state, status=event.outcome, ended=event, step=event.step, stage=None)
        case _:
            return state


def _active(state: RunState) -> Status:
    return "training" if state.status == "saving" else state.status


def _step(state: RunState, event: StepDone) -> RunState:
    past = state.history[-1] if len(state.history) else None
    plan = state.plan(event.phase)
    count = max(0, event.step - plan.first) if plan else len(state.history)
    weight = max(EMA_WEIGHT, 1 / (count + 1))
    if past is None or past.phase != event.phase:
        past = None

    def ema(old: float | None, new: float) -> float:
        if old is None or math.isnan(old):
            return new
        return old if math.isnan(new) else old + weight * (new - old)

    row = StepRow(
        event.step,
        event.phase,
        event.loss,
        event.masked,
        event.attention,
        event.prior,
        event.grad_norm,
        event.seconds,
        event.time,
        ema(past and past.ema_loss, event.loss),
        ema(past and past.ema_masked, event.masked),
        ema(past and past.ema_attention, event.attention),
        ema(past and past.ema_prior, event.prior),
        ema(past and past.ema_seconds, event.seconds),
    )
    nan_step = state.nan_step
    if nan_step is None and not math.isfinite(event.loss):
        nan_step = event.step
    # A step that was under way when the pause was asked for does not end the pause.
    status: Status = "paused" if state.status == "paused" else "training"
    return replace(
        state, history=state.history.append(row), last=event, step=event.step, phase=event.phase,
        status=status, stage=None, nan_step=nan_step,
    )  # fmt: skip


def _started(state: RunState, event: RunStarted) -> RunState:
    """A new host: everything beyond its first step was lost with the old one and is cut."""
    step = event.step
    length = len(state.history)
    while length and state.history[length - 1].step > step:
        length -= 1
    history = state.history.cut(length)
    nan_step = state.nan_step if state.nan_step is not None and state.nan_step <= step else None
    phase = next((p.number for p in event.phases if p.first <= step + 1 <= p.last), 0)
    return replace(
        state, run=event.run, base=event.base, device=event.device, precision=event.precision,
        resolution=event.resolution, grid=event.grid, concepts=event.concepts, phases=event.phases,
        total_steps=event.total_steps, start_step=step, step=step, phase=phase, status="loading",
        stage=None, ended=None, preview_every=None, history=history, nan_step=nan_step,
        started=event.time,
        last=state.last if state.last is not None and state.last.step <= step else None,
        attention={
            token: log.cut(lambda frame: frame.step <= step)
            for token, log in state.attention.items()
        },
        previews=state.previews.cut(lambda preview: preview.step <= step),
        checkpoints=state.checkpoints.cut(lambda checkpoint: checkpoint.step <= step),
    )  # fmt: skip
