"""A device whose memory runs out at one stage of a run: a line with what to do, nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.core.config import TrainConfig
from engine.hosts import train as host
from engine.runs.commands import CommandQueue
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import (
    CheckpointSaved,
    Event,
    Notice,
    PhaseStarted,
    Progress,
    RunEnded,
)
from engine.runs.folder import RunDir
from tests.emulated_cuda.device import EmulatedCuda
from tests.emulated_cuda.emulate import emulated_cuda
from tests.engine_fixtures import bas_home  # noqa: F401
from tests.faults.runs import SETTINGS, leftovers, make_run

Squeeze = Callable[[EmulatedCuda, Event], None]
FEW = {
    "device": "cuda", "precision": "bf16", "phase1.steps": 2, "phase2.steps": 1,
    "preview.every": 2, "initializer_search": True, "initializer_nouns": "teapot, penguin, dog",
}  # fmt: skip


def run_on_device(run: RunDir, squeeze: Squeeze, monkeypatch: pytest.MonkeyPatch) -> int:
    """The whole host, whose training thread has an emulated device; `squeeze` sees every event."""
    with_device = host._events

    def emulated(
        run: RunDir, config: TrainConfig, commands: CommandQueue, report: Callable[[Event], None]
    ) -> Iterator[Event]:
        with emulated_cuda() as gpu:

            def watched(event: Event) -> None:
                squeeze(gpu, event)
                report(event)

            for event in with_device(run, config, commands, watched):
                squeeze(gpu, event)
                yield event

    with monkeypatch.context() as patch:
        patch.setattr(host, "_events", emulated)
        return host.run_host(run.path)


def starts(stage: str) -> Callable[[Event], bool]:
    """Tells the event with which a stage begins."""
    if stage == "step":
        return lambda event: isinstance(event, PhaseStarted)
    if stage == "switch":
        return lambda event: isinstance(event, CheckpointSaved) and event.step == 2
    return lambda event: isinstance(event, Progress) and event.stage == stage


@pytest.mark.parametrize(
    "stage, words",
    [
        ("load", "while loading the base model"),
        ("words", "while looking for start words"),
        ("encode", "while encoding the scene"),
        ("prior", "while drawing prior pictures"),
        ("step", "in step 1"),
        ("switch", "before step 3"),
    ],
)
def test_a_line_with_remedies(
    stage: str, words: str, tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", tiny_pipeline, SETTINGS | FEW)

    def squeeze(gpu: EmulatedCuda, event: Event) -> None:
        if starts(stage)(event):
            gpu.limit = max(1, gpu.live)

    assert run_on_device(run, squeeze, monkeypatch) == 1
    ended = read_events(run)[-1]
    assert isinstance(ended, RunEnded) and ended.outcome == "failed"
    assert ended.message == f"out of memory {words}" and "--set" in ended.remedy
    assert leftovers(run) == []
    assert run_on_device(run, lambda _gpu, _event: None, monkeypatch) == 0
    assert describe(run).state == "finished"


def test_a_preview_is_done_without(
    tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning; the run goes on to its end."""
    run = make_run(tmp_path / "run", tiny_pipeline, SETTINGS | FEW)

    def squeeze(gpu: EmulatedCuda, event: Event) -> None:
        if starts("preview")(event):
            gpu.limit = max(1, gpu.live)
        if isinstance(event, Notice) and event.level == "warning":
            gpu.limit = 0

    assert run_on_device(run, squeeze, monkeypatch) == 0
    warnings = [e for e in read_events(run) if isinstance(e, Notice) and "no preview" in e.message]
    assert len(warnings) == 2 and all("out of memory" in each.message for each in warnings)
    assert describe(run).state == "finished"
