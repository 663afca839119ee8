"""The fold over events: pure, linear, and right about resumes, gaps, averages and warnings."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from bas_tui.append_only import Log
from bas_tui.run_health import failure_of, warnings_of
from bas_tui.run_state import (
    PHASE2_COST,
    RunState,
    interrupted,
    reduce,
    reduce_all,
)
from engine.runs import events as ev
from engine.runs.folder import RunDir

MASK = ev.pack_map(bytes([255] * 4 + [0] * 12))


def started(seq: int = 0, step: int = 0, first: int = 40, second: int = 40) -> ev.RunStarted:
    return ev.RunStarted(
        seq=seq,
        time=100.0 + seq,
        run="r",
        base="pocket",
        device="cpu",
        precision="fp32",
        step=step,
        total_steps=first + second,
        phases=(
            ev.PhasePlan(number=1, first=1, last=first, learning_rate=5e-4),
            ev.PhasePlan(number=2, first=first + 1, last=first + second, learning_rate=2e-6),
        ),
        concepts=(
            ev.ConceptInfo(token="<asset0>", name="teapot", initializer="thing", mask=MASK),
            ev.ConceptInfo(token="<asset1>", name="penguin", initializer="thing", mask=MASK),
        ),
        grid=4,
        resolution=64,
    )


def step(number: int, seq: int, *, loss: float = 1.0, seconds: float = 0.5) -> ev.StepDone:
    return ev.StepDone(
        seq=seq,
        time=100.0 + seq,
        step=number,
        phase=1 if number <= 40 else 2,
        loss=loss,
        masked=loss / 2,
        attention=loss / 4,
        prior=0.0,
        grad_norm=1.0,
        seconds=seconds,
    )


def maps(number: int, seq: int, values: bytes, leak: float) -> ev.AttentionMaps:
    token = ev.TokenMap(token="<asset0>", map=ev.pack_map(values), iou=0.3, leak=leak)
    return ev.AttentionMaps(seq=seq, step=number, grid=4, maps=(token,))


def test_losses_lie_in_columns_and_old_states_stay_valid() -> None:
    early = reduce_all([started(), step(1, 1, loss=2.0)])
    late = reduce_all([step(2, 2, loss=4.0), step(3, 3, loss=6.0)], early)
    assert list(late.history.column("loss")) == [2.0, 4.0, 6.0]
    assert list(late.history.column("masked", 1, 3)) == [2.0, 3.0]
    assert list(early.history.column("loss")) == [2.0]
    assert early.step == 1 and late.step == 3 and late.last is not None
    assert late.history[-1].step == 3
    # The first steps of a phase are averaged plainly: nothing is pulled towards zero.
    assert late.ema("loss") == pytest.approx(4.0)


def test_an_event_does_not_copy_the_history() -> None:
    """Linear cost, proven by storage instead of a clock: all states share one buffer."""
    states = [reduce(RunState(), started())]
    for number in range(1, 60):
        states.append(reduce(states[-1], step(number, number)))
    assert len({id(state.history._columns) for state in states}) == 1
    log: Log[int] = Log()
    logs = [log := log.append(k) for k in range(50)]
    assert len({id(entry._items) for entry in logs}) == 1
    assert [len(entry) for entry in logs] == list(range(1, 51))


def test_a_branch_copies_instead_of_overwriting() -> None:
    base: Log[str] = Log(["a"])
    left, right = base.append("left"), base.append("right")
    assert left[:] == ["a", "left"] and right[:] == ["a", "right"] and base[:] == ["a"]
    with pytest.raises(IndexError):
        base[1]


def test_a_resume_cuts_what_the_new_host_does_not_know() -> None:
    before = reduce_all(
        [started()]
        + [step(k, k, loss=float(k)) for k in range(1, 9)]
        + [maps(4, 9, bytes(16), 0.1), maps(8, 10, bytes(16), 0.1)]
        + [ev.CheckpointSaved(seq=11, step=5, path="c5"), step(9, 12, loss=math.nan)]
    )
    assert before.nan_step == 9
    after = reduce_all([started(13, step=5), step(6, 14, loss=60.0)], before)
    assert list(after.history.column("step")) == [1, 2, 3, 4, 5, 6]
    assert after.history[-1].loss == 60.0
    assert [frame.step for frame in after.attention["<asset0>"]] == [4]
    assert [checkpoint.step for checkpoint in after.checkpoints] == [5]
    assert after.nan_step is None and after.start_step == 5 and not after.gaps
    assert len(before.history) == 9, "the old state keeps what it had"


def test_status_follows_the_life_of_a_run() -> None:
    seen: list[str] = []
    state = RunState()
    for seq, event in enumerate(
        [
            started(),
            ev.Progress(stage="encode", done=1, total=4),
            ev.Progress(stage="prior", done=1, total=100, label="prior pictures"),
            ev.PhaseStarted(phase=1, step=1, trained_parameters=64),
            step(1, 0),
            ev.Paused(step=1),
            ev.Progress(stage="preview", done=1, total=20),
            ev.Resumed(step=1),
            ev.RunEnded(step=1, outcome="stopped", message="as asked"),
        ]
    ):
        state = reduce(state, dataclasses.replace(event, seq=seq))
        seen.append(state.status)
    assert seen == [
        "loading", "encoding", "prior", "training", "training", "paused", "paused", "training",
        "stopped",
    ]  # fmt: skip
    assert state.over and state.ended is not None and state.ended.message == "as asked"
    again = reduce(state, ev.Progress(seq=99, stage="load", done=3, total=5))
    assert again.status == "loading" and not again.over, "the next host is at work"
    assert again.stage is not None and (again.stage.done, again.stage.total) == (3, 5)
    assert interrupted(RunState()).status == "new"
    assert interrupted(state) is state
    assert interrupted(reduce(RunState(), started())).status == "interrupted"


def test_eta_is_measured_per_phase_and_scaled_for_the_phase_to_come() -> None:
    state = reduce_all([started()] + [step(k, k, seconds=0.5) for k in range(1, 11)])
    assert state.rate == pytest.approx(2.0)
    assert state.phase_steps(1) == (10, 40) and state.phase_steps(2) == (0, 40)
    assert state.phase_eta(1) == pytest.approx(15.0)
    assert state.eta == pytest.approx(15.0 + 40 * 0.5 * PHASE2_COST)
    state = reduce_all([step(k, k, seconds=1.0) for k in range(11, 42)], state)
    assert state.phase == 2 and state.phase_eta(1) == 0.0
    assert state.rate == pytest.approx(1.0), "averages restart at the phase switch"
    assert RunState().eta is None


def test_duplicates_change_nothing_and_gaps_are_noted() -> None:
    state = reduce_all([started(), step(1, 1), step(2, 2)])
    assert reduce(state, step(1, 1)) is state
    assert reduce(state, started(0)) is state
    state = reduce(state, step(6, 6))
    assert [(gap.first, gap.last) for gap in state.gaps] == [(3, 5)]


def test_nan_does_not_poison_the_average_and_warns() -> None:
    state = reduce_all([started(), step(1, 1, loss=2.0), step(2, 2, loss=math.nan)])
    assert state.ema("loss") == 2.0
    (warned,) = warnings_of(state)
    assert warned.kind == "nan" and "step 2" in warned.message
    assert warned.remedy == "stop, then: bas resume r --set phase1.learning_rate=0.0001"


@pytest.mark.parametrize(
    ("values", "leak", "kinds"),
    [
        (bytes([250] * 16), 0.75, ["uniform"]),
        (bytes([255] + [20] * 15), 0.7, ["leak"]),
        (bytes([255] * 4 + [20] * 12), 0.2, []),
    ],
)
def test_attention_warnings_come_after_the_run_has_settled(
    values: bytes, leak: float, kinds: list[str]
) -> None:
    state = reduce(RunState(), started())
    for number in range(1, 11):
        state = reduce(state, step(number, 2 * number))
        state = reduce(state, maps(number, 2 * number + 1, values, leak))
    assert [warned.kind for warned in warnings_of(state)] == [], "too early to judge"
    for number in range(11, 26):
        state = reduce(state, step(number, 2 * number))
        state = reduce(state, maps(number, 2 * number + 1, values, leak))
    assert [warned.kind for warned in warnings_of(state)] == kinds
    assert all(warned.token == "<asset0>" and warned.remedy for warned in warnings_of(state))


@pytest.mark.parametrize(
    ("failed", "settings", "command"),
    [
        (("the loss is not a number in step 9", 8), {},
         "bas resume r --set phase1.learning_rate=0.0001"),
        (("the loss is not a number in step 41", 40), {},
         "bas resume r --set phase2.learning_rate=4e-07"),
        (("out of memory in step 41", 40), {}, "bas resume r --set gradient_checkpointing=true"),
        (("out of memory in step 41", 40), {"gradient_checkpointing": True}, "bas resume r"),
        (("the disk is full", 3), {}, "bas resume r"),
    ],
)  # fmt: skip
def test_a_failure_names_its_phase_and_a_command_that_changes_something(
    failed: tuple[str, int], settings: dict[str, object], command: str
) -> None:
    message, last = failed
    ended = ev.RunEnded(seq=60, step=last, outcome="failed", message=message)
    state = reduce_all([started(), *(step(k, k) for k in range(1, last + 1)), ended])
    failure = failure_of(RunDir(Path("/runs/r")), state, settings)
    assert failure is not None and failure.command == command
    if "not a number" in message:
        assert failure.title.endswith(f"in phase {1 if last < 40 else 2}")


def test_an_interrupted_run_goes_on_as_it_was() -> None:
    state = interrupted(reduce_all([started(), step(1, 1)]))
    failure = failure_of(RunDir(Path("/runs/r")), state, {})
    assert failure is not None and failure.command == "bas resume r" and not failure.changes
    assert failure_of(RunDir(Path("/runs/r")), reduce(RunState(), started()), {}) is None
