"""When and how a run is saved: damage, full disks, leftovers, changed settings."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.families.stable_diffusion import StableDiffusion
from engine.files.atomic import checksum
from engine.files.space import MARGIN
from engine.files.weights_io import Shard
from engine.results.concepts import load_concepts
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import (
    CheckpointSaved,
    Event,
    Notice,
    Paused,
    PhaseStarted,
    Resumed,
    RunEnded,
    StepDone,
)
from engine.runs.folder import RunDir
from engine.scenes.scene import Scene
from engine.training import saving
from engine.training.checkpoints import (
    Checkpoint,
    list_checkpoints,
    new_checkpoint,
    newest_whole,
)
from engine.training.loop import train
from engine.training.saving import Saver
from tests.engine_fixtures import FAST
from tests.full_disk import SmallDisk, mount, unmount

Load = Callable[[], StableDiffusion]
SIX = {"phase1.steps": 2, "phase2.steps": 4, "checkpoint_every": 1, "loss.prior_weight": 0}


def rows(events: list[Event]) -> list[tuple[int, float, float]]:
    return [(e.step, e.loss, e.grad_norm) for e in events if isinstance(e, StepDone)]


def train_until(
    family: StableDiffusion, scene: Scene, run: RunDir, stop: int, settings: dict[str, Any]
) -> list[Event]:
    """Train and stop after a step."""
    commands = CommandQueue()
    events: list[Event] = []
    config = build_config(FAST, settings)
    for event in train(family, scene, config, run=run, commands=commands):
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop:
            commands.post(Command(word="stop"))
    return events


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped byte in the weights": lambda at: flip_byte(at / "weights-00.safetensors"),
    "flipped byte in the optimiser": lambda at: flip_byte(at / "optimizer-00.safetensors"),
    "weights cut short": lambda at: os.truncate(at / "weights-00.safetensors", 1000),
    "no optimiser": lambda at: (at / "optimizer-00.safetensors").unlink(),
    "empty state": lambda at: (at / "state.json").write_text(""),
    "state of another kind": lambda at: (at / "state.json").write_text("[1]"),
    "state without sums": lambda at: (at / "state.json").write_text('{"step": "x"}'),
    "no generators": lambda at: (at / "generators.safetensors").unlink(),
}


@pytest.fixture
def whole(fresh_family: Load, scene: Scene) -> list[tuple[int, float, float]]:
    """The steps of an undisturbed run."""
    return rows(list(train(fresh_family(), scene, build_config(FAST, SIX))))


def test_a_damaged_newest_checkpoint_is_passed_over(
    fresh_family: Load, scene: Scene, tmp_path: Path, whole: list[tuple[int, float, float]]
) -> None:
    run = RunDir(tmp_path / "run")
    train_until(fresh_family(), scene, run, 4, SIX)
    assert [path.name for path in list_checkpoints(run.checkpoints)] == [
        "step-000003", "step-000004",
    ]  # fmt: skip
    flip_byte(run.checkpoints / "step-000004" / "weights-00.safetensors")
    events = list(train(fresh_family(), scene, build_config(FAST, SIX), run=run))
    (warning,) = [e for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert "step-000004 is damaged" in warning.message and "from step 4" in warning.remedy
    assert rows(events) == whole[3:]
    assert events[-1] == RunEnded(step=6, outcome="finished")


def write(checkpoint: Checkpoint, root: Path) -> None:
    with new_checkpoint(root, checkpoint, keep=2) as filling:
        for shard in filling.shards:
            shard.write(filling.folder)


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_is_noticed(tmp_path: Path, kind: str) -> None:
    values = {"a": torch.randn(50, 50)}
    generator = {"steps0": torch.Generator().get_state()}
    for step in (1, 2):
        write(Checkpoint(step, 2, values, values, generator), tmp_path)
    DAMAGE[kind](tmp_path / "step-000002")
    state, wrong = newest_whole(tmp_path)
    assert state is not None and state.step == 1
    assert len(wrong) == 1 and "\n" not in wrong[0] and "step-000002" in wrong[0]
    assert newest_whole(tmp_path)[1] == [], "it is noticed once"
    write(Checkpoint(3, 2, values, values, generator), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001", "step-000003"]


def test_nothing_whole_starts_again(fresh_family: Load, scene: Scene, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    train_until(fresh_family(), scene, run, 2, SIX)
    for folder in list_checkpoints(run.checkpoints):
        (folder / "state.json").write_text("{}")
    events = list(train(fresh_family(), scene, build_config(FAST, SIX), run=run))
    warnings = [e for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert len(warnings) == 2 and all("from step 1" in w.remedy for w in warnings)
    assert events[-1] == RunEnded(step=6, outcome="finished")


def test_a_stop_after_a_due_checkpoint_writes_it_once(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    events = train_until(fresh_family(), scene, run, 3, SIX)
    assert [e.step for e in events if isinstance(e, CheckpointSaved)] == [1, 2, 3]
    again = train_until(fresh_family(), scene, run, 3, SIX)
    assert not [e for e in again if isinstance(e, CheckpointSaved) and e.step <= 3]


def test_leftovers_of_dead_writers_go(fresh_family: Load, scene: Scene, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    dead = [run.checkpoints / ".step-000002.abcd1234", run.path / ".concepts.abcd1234"]
    for folder in dead:
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"x")
    train_until(fresh_family(), scene, run, 1, SIX)
    assert not any(folder.exists() for folder in dead)


def test_a_full_disk_pauses_the_run(
    fresh_family: Load, scene: Scene, tmp_path: Path, whole: list[tuple[int, float, float]]
) -> None:
    disk = mount(tmp_path / "disk", 96 * 2**20)
    try:
        run = RunDir(disk.path / "run")
        ballast: Path | None = None
        events: list[Event] = []
        for event in train(fresh_family(), scene, build_config(FAST, SIX), run=run):
            events.append(event)
            if isinstance(event, StepDone) and event.step == 4:
                ballast = disk.fill(leave=2**20)
            if isinstance(event, Paused) and ballast is not None:
                # Only now: the run has noticed by itself.
                threading.Timer(0.1, ballast.unlink).start()
        assert rows(events) == whole
        kinds = [type(event) for event in events]
        (warning,) = [e for e in events if isinstance(e, Notice) and e.level == "warning"]
        assert "is full" in warning.message and "goes on by itself" in warning.remedy
        assert kinds.index(Paused) < kinds.index(Resumed)
        assert kinds.count(Paused) == kinds.count(Resumed) == 1
        assert events[-1] == RunEnded(step=6, outcome="finished")
        load_concepts(run.concepts, fresh_family())
    finally:
        unmount(disk)


def test_a_stop_on_a_full_disk_keeps_the_checkpoint_before(
    fresh_family: Load, scene: Scene, tmp_path: Path, whole: list[tuple[int, float, float]]
) -> None:
    disk = mount(tmp_path / "disk", 96 * 2**20)
    try:
        run = RunDir(disk.path / "run")
        commands = CommandQueue()
        events: list[Event] = []
        ballast = disk.path
        config = build_config(FAST, SIX)
        for event in train(fresh_family(), scene, config, run=run, commands=commands):
            events.append(event)
            if isinstance(event, StepDone) and event.step == 4:
                ballast = disk.fill(leave=2**20)
            if isinstance(event, Paused):
                commands.post(Command(word="stop"))
        ended = events[-1]
        assert isinstance(ended, RunEnded) and ended.outcome == "stopped"
        assert "is full" in ended.message
        ballast.unlink()
        again = list(train(fresh_family(), scene, config, run=run))
        assert rows(again) == whole[3:]
    finally:
        unmount(disk)


def test_a_disk_too_small_is_said_before_the_run(
    fresh_family: Load, scene: Scene, small_disk: SmallDisk
) -> None:
    events: list[Event] = []
    with pytest.raises(UserError, match="lacks"):
        for event in train(
            fresh_family(), scene, build_config(FAST, SIX), run=RunDir(small_disk.path / "run")
        ):
            events.append(event)
    assert len(events) == 1


def test_minutes_rule_phase_two(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: now[0])
    saver = Saver(None, every=10, minutes=2, keep=2, keep_after=False)
    assert [saver.due(step, 1) for step in (9, 10)] == [False, True]
    now[0] = 119
    assert not saver.due(10, 2)
    now[0] = 120
    assert saver.due(11, 2)
    saver.begin_phase()
    assert not saver.due(20, 2)


@pytest.mark.parametrize("held", ["nothing", "the weights", "everything"])
def test_held_in_memory_or_written_at_once_it_is_the_same(
    fresh_family: Load, scene: Scene, tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training goes on and changes what was not copied; every save is that of its step."""
    written: list[tuple[str, str]] = []
    write = Shard.write

    def slowly(shard: Shard, folder: Path) -> None:
        written.append((shard.name.split("-")[0], threading.current_thread().name))
        time.sleep(0.05)
        write(shard, folder)

    def memory() -> int:
        # Moments are twice the weights, and the thread gets half of what is free.
        return {"nothing": 0, "the weights": MARGIN + 3 * weights, "everything": 2**50}[held]

    monkeypatch.setattr(Shard, "write", slowly)
    monkeypatch.setattr(saving, "free_memory", memory)
    run, weights = RunDir(tmp_path / "run"), 0
    settings = SIX | {"checkpoint_keep_after": True, "checkpoint_keep": 9}
    for event in train(fresh_family(), scene, build_config(FAST, settings), run=run):
        if isinstance(event, PhaseStarted):
            weights = 4 * event.trained_parameters
    behind = {part for part, thread in written if thread == "checkpoint"}
    assert behind == {"nothing": set(), "the weights": {"weights"}}.get(
        held, {"weights", "optimizer"}
    )
    saved = list_checkpoints(run.checkpoints)
    assert len(saved) == 6
    sums = [json.loads((folder / "state.json").read_text())["checksums"] for folder in saved]
    sums += [{path.name: checksum(path) for path in run.concepts.glob("*.safetensors")}]
    reference = tmp_path.parent / "sums.json"
    if not reference.exists():
        reference.write_text(json.dumps(sums))
    assert json.loads(reference.read_text()) == sums


def test_another_part_may_be_trained_from_a_checkpoint_on(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    """The remedy for missing memory: what all weights learned before is not lost."""
    run = RunDir(tmp_path / "run")
    train_until(fresh_family(), scene, run, 4, SIX)
    family = fresh_family()
    less = SIX | {"phase2.train": "cross-attention"}
    events = list(train(family, scene, build_config(FAST, less), run=run))
    assert events[-1] == RunEnded(step=6, outcome="finished")
    base, drawn = fresh_family(), fresh_family()
    load_concepts(run.concepts, drawn)
    untrained = base.targets.weights()
    moved = {
        n for n, value in drawn.targets.weights().items() if not torch.equal(value, untrained[n])
    }
    assert any("conv" in name for name in moved)
    for name, value in drawn.targets.weights().items():
        torch.testing.assert_close(value, family.targets.weights()[name], rtol=0, atol=5e-6)
