"""Runs of tiny models on a device, real or emulated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import api
from engine.core.settings import build_config
from engine.families.loading import LoadedBase
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import Event, StepDone
from engine.runs.folder import RunDir
from engine.scenes.scene import Scene

SETTINGS = {
    "preview.every": 3, "preview.steps": 1, "loss.prior_images": 2, "loss.prior_steps": 1,
    "phase1.steps": 2, "phase2.steps": 2, "phase1.learning_rate": 1e-2,
    "phase2.learning_rate": 1e-3, "checkpoint_every": 1, "checkpoint_minutes": 0,
    "checkpoint_keep_after": True, "sampling.steps": 1, "sampling.guidance": 2.0,
}  # fmt: skip


def walk(
    folder: Path, photo: Scene, run: Path, device: str, steps: int = 9, **settings: Any
) -> tuple[list[StepDone], list[Event]]:
    """Load, train (stopped after `steps` steps), with everything that a run leaves behind."""
    base = api.load_base(str(folder), device=device)
    config = build_config(SETTINGS, settings)
    events: list[Event] = []
    for event in api.train(base.family, photo, config, run=RunDir(run)):
        events.append(event)
        if isinstance(event, StepDone) and event.step == steps:
            break
    return [event for event in events if isinstance(event, StepDone)], events


def close(ours: list[StepDone], theirs: list[StepDone], tolerance: float) -> bool:
    return len(ours) == len(theirs) and all(
        a.loss == pytest.approx(b.loss, rel=tolerance)
        and a.grad_norm == pytest.approx(b.grad_norm, rel=10 * tolerance)
        for a, b in zip(ours, theirs, strict=True)
    )


def run_or_part(
    folder: str, photo: Scene, run: Path, device: str, settings: dict[str, Any], stop: int = 0
) -> tuple[LoadedBase, list[float]]:
    """Train or go on with a run, to its end or until it is told to stop; the losses."""
    base, commands, losses = api.load_base(folder, device=device), CommandQueue(), []
    config = build_config(SETTINGS, settings)
    for event in api.train(base.family, photo, config, run=RunDir(run), commands=commands):
        if isinstance(event, StepDone):
            losses.append(event.loss)
            if event.step == stop:
                commands.post(Command(word="stop"))
    return base, losses
