"""How far a batch is. No torch here."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from engine.batch.folder import BatchDir, BatchScene, read_batch, read_jobs
from engine.core.durations import say_seconds
from engine.core.errors import UserError
from engine.runs.description import RunInfo, describe
from engine.runs.folder import RunDir

ENOUGH_STEPS = 5
"""Steps after which a rate can be told."""


class Row(NamedTuple):
    """A scene at a moment."""

    scene: BatchScene
    state: str
    """A run's state, or `waiting`, `starting`."""
    step: int
    total_steps: int
    loss: float | None
    message: str
    """Why it failed; else empty."""


class Status(NamedTuple):
    """A batch at a moment."""

    driven: bool
    preparing: bool
    rows: tuple[Row, ...]
    seconds_left: float | None
    """None while nothing is known."""

    @property
    def done(self) -> int:
        """Finished scenes."""
        return sum(row.state == "finished" for row in self.rows)

    @property
    def failed(self) -> int:
        return sum(row.state == "failed" for row in self.rows)

    @property
    def share(self) -> float:
        """Steps made of all steps, 0..1."""
        total = sum(row.total_steps for row in self.rows)
        return sum(row.step for row in self.rows) / total if total else 0.0

    @property
    def headline(self) -> str:
        """`3 of 6 scenes done, 1 failed, about 12 min left`."""
        text = f"{self.done} of {len(self.rows)} scenes done"
        if self.failed:
            text += f", {self.failed} failed"
        if self.preparing:
            text += ", making the prior pictures that they share"
        if self.seconds_left is not None:
            text += f", about {say_seconds((self.seconds_left, self.seconds_left))} left"
        return text


def status(folder: BatchDir, describe: Callable[[RunDir], RunInfo] = describe) -> Status:
    """Where the batch is now; who asks again and again hands over one `Descriptions`."""
    driven = folder.driver.lives
    jobs = read_jobs(folder)
    failed = jobs.failed if driven else {}
    running = jobs.running if driven else ()
    scenes = read_batch(folder).scenes
    rows = tuple(_row(scene, describe, driven, running, failed) for scene in scenes)
    made = sum(row.step for row in rows)
    since = made - jobs.steps
    seconds: float | None = None
    if driven and since >= ENOUGH_STEPS:
        left = sum(row.total_steps - row.step for row in rows if row.state != "failed")
        seconds = left * (time.time() - jobs.started) / since
    return Status(driven, driven and jobs.preparing, rows, seconds)


def newest_preview(scene: BatchScene) -> Path | None:
    """The last preview that its run drew."""
    return max(scene.run.previews.glob("step-*.png"), default=None)


def _row(
    scene: BatchScene,
    describe: Callable[[RunDir], RunInfo],
    driven: bool,
    running: tuple[str, ...],
    failed: dict[str, str],
) -> Row:
    try:
        info = describe(scene.run)
    except UserError as error:
        return Row(scene, "failed", 0, 0, None, error.message)
    state, message = str(info.state), info.message if info.state == "failed" else ""
    if scene.name in running and state not in ("training", "paused", "finished"):
        # On another machine a host cannot be seen from here: the driver knows that it is there.
        state, message = ("training" if info.step and state != "new" else "starting"), ""
    elif scene.name in failed and state != "finished":
        state, message = "failed", message or failed[scene.name]
    elif driven and state in ("new", "interrupted"):
        state = "waiting"
    return Row(scene, state, info.step, info.total_steps, info.loss, message)
