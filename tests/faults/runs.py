"""Small runs to torment: how they are made, what of them must be equal, what may not be left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine.files.atomic import LEFTOVER
from engine.runs.event_reading import read_events
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene, save_scene

STEPS = 24
SETTINGS = {
    "phase1.steps": 12,
    "phase2.steps": 12,
    "phase1.learning_rate": 1e-2,
    "phase2.learning_rate": 1e-3,
    "checkpoint_every": 3,
    "checkpoint_minutes": 0,
    "preview.every": 8,
    "preview.steps": 1,
    "loss.prior_images": 2,
    "loss.prior_steps": 2,
    "device": "cpu",
}


def make_run(folder: Path, base: Path, settings: Mapping[str, object] = SETTINGS) -> RunDir:
    """A run of two coloured blocks on the tiny model, 24 steps."""
    run = RunDir(folder)
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = np.arange(64)[None, :] * 3
    left, right = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    left[10:40, 6:28], right[24:58, 34:60] = True, True
    image[left], image[right] = (220, 40, 40), (40, 200, 60)
    concepts = (SceneConcept("teapot", left), SceneConcept("penguin", right))
    save_scene(Scene(image=image, concepts=concepts), run.scene)
    entries = tuple(
        ConceptEntry(token=f"<asset{k}>", name=concept.name, initializer="")
        for k, concept in enumerate(concepts)
    )
    write_manifest(
        run,
        Manifest(
            name=run.name, created=time.time(), base=str(base), scene_source="", concepts=entries,
            settings=dict(settings),
        ),
    )  # fmt: skip
    return run


def step_of(run: RunDir) -> int:
    """The last step in the log; cheap enough to be asked all the time."""
    try:
        tail = run.events.read_bytes()[-20000:]
    except OSError:
        return 0
    place = tail.rfind(b'"kind":"step"')
    if place < 0:
        return 0
    try:
        return int(tail[place:].split(b'"step":', 1)[1].split(b",", 1)[0])
    except (IndexError, ValueError):
        return 0


def outcome(run: RunDir) -> dict[str, object]:
    """What must be equal: the numbers of every step, and the bytes of the result."""
    steps = {
        event.step: (event.loss, event.masked, event.attention, event.prior, event.grad_norm)
        for event in read_events(run)
        if isinstance(event, StepDone)
    }
    files = {path.name: path.read_bytes() for path in run.concepts.glob("*.safetensors")}
    return {"steps": steps, "files": files}


def leftovers(run: RunDir) -> list[str]:
    """Hidden files of writers that are dead by now."""
    return [
        str(path.relative_to(run.path))
        for path in run.path.rglob(".*")
        if LEFTOVER.fullmatch(path.name)
    ]
