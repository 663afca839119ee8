"""Kills run hosts with SIGKILL at random and at chosen moments, and counts what was lost.

    python -m tests.faults.kills --kills 100

Every run is resumed until it has finished; then its losses, its rows and its weights must equal
those of a run that nobody disturbed, bit by bit, and nothing of a dead writer may be left. Hosts
are forked from a process that has torch loaded, so a kill costs a second and not ten.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# One thread: the sum over many threads has no fixed order, so runs would differ without any kill.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from engine.files.atomic import LEFTOVER
from engine.hosts.train import run_host
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene, save_scene
from tests.tiny import build_tiny_pipeline

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


def hidden(folder: Path, start: str) -> bool:
    """Whether something is being written in the folder under a hidden name."""
    try:
        return any(name.startswith(start) for name in os.listdir(folder))
    except OSError:
        return False


MOMENTS: dict[str, Callable[[RunDir], bool]] = {
    "within a checkpoint": lambda run: hidden(run.checkpoints, ".step-"),
    "within concepts": lambda run: hidden(run.path, ".concepts."),
    "within a preview": lambda run: hidden(run.previews, "."),
    "at the switch": lambda run: step_of(run) == int(SETTINGS["phase1.steps"]),
    "at the end": lambda run: step_of(run) == 24,
}


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter[str])
    runs: int = 0
    lost: list[str] = field(default_factory=list[str])


def make_run(folder: Path, base: Path) -> RunDir:
    """A run of two coloured blocks on the tiny model."""
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
            settings=SETTINGS,
        ),
    )  # fmt: skip
    return run


def start(run: RunDir) -> int:
    """A host in a forked process of its own session; its id."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        log = os.open(run.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        torch.set_num_threads(1)
        os._exit(run_host(run.path))
    return pid


def ended(pid: int) -> bool:
    """Whether the process is gone; collects it."""
    return os.waitpid(pid, os.WNOHANG)[0] != 0


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


def torment(
    run: RunDir, expected: dict[str, object], chance: random.Random, kills: int, tally: Tally
) -> None:
    """Kill the run's hosts up to `kills` times, let it finish, compare."""
    for _ in range(kills):
        pid = start(run)
        moment = chance.choice(["at random", "at random", *MOMENTS])
        deadline = time.monotonic() + (chance.uniform(0.0, 4.0) if moment == "at random" else 60)
        first = step_of(run)
        while not ended(pid):
            due = time.monotonic() > deadline
            if moment in MOMENTS and MOMENTS[moment](run):
                due = moment != "at the switch" or first != step_of(run) or chance.random() < 0.5
            if due:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                tally.kills[moment] += 1
                break
            time.sleep(0.001)
        if describe(run).state == "finished":
            break
    while describe(run).state != "finished":
        pid = start(run)
        os.waitpid(pid, 0)
        if describe(run).state == "failed":
            break
    tally.runs += 1
    found = outcome(run)
    for part in ("steps", "files"):
        if found[part] != expected[part]:
            tally.lost.append(f"{run.name}: other {part} than the undisturbed run")
    left = leftovers(run)
    if left:
        tally.lost.append(f"{run.name}: left {', '.join(left)}")


def main(kills: int, seed: int, each: int = 6) -> int:
    """Kill until the number is reached; 0 when nothing was lost."""
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="bas-kills-") as name:
        folder = Path(name)
        os.environ["BAS_HOME"] = str(folder / "home")
        builder = os.fork()
        if builder == 0:
            build_tiny_pipeline(folder / "base")
            os._exit(0)
        os.waitpid(builder, 0)
        whole = make_run(folder / "runs" / "whole", folder / "base")
        os.waitpid(start(whole), 0)
        expected = outcome(whole)
        assert describe(whole).state == "finished", whole.log.read_text()
        while sum(tally.kills.values()) < kills:
            run = make_run(folder / "runs" / f"run{tally.runs}", folder / "base")
            wanted = min(each, kills - sum(tally.kills.values()))
            torment(run, expected, chance, wanted, tally)
            print(f"{sum(tally.kills.values())} kills, {tally.runs} runs", file=sys.stderr)
    print(
        json.dumps({"kills": dict(tally.kills), "runs": tally.runs, "lost": tally.lost}, indent=1)
    )
    total = sum(tally.kills.values())
    print(f"{total} kills in {tally.runs} runs, {len(tally.lost)} lost")
    return int(bool(tally.lost))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    raise SystemExit(main(chosen.kills, chosen.seed))
