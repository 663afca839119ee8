"""How far an evaluation is, and how long it will take. No torch here."""

from __future__ import annotations

import time
from typing import NamedTuple

from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, read_plan
from engine.evaluate.suites import subsets
from engine.runs.description import describe

TRAINING_SHARE = 0.6
"""About how much of a job's time the training takes; only the progress bar knows it."""


class Status(NamedTuple):
    """A moment of an evaluation."""

    driven: bool
    done: int
    failed: int
    total: int
    share: float
    """Of all work, 0..1."""
    seconds_left: float | None
    """None while nothing is known."""
    running: tuple[str, ...]
    """What each running job is at, one line each."""


def status(folder: EvaluationDir) -> Status:
    """Where the evaluation is now."""
    driven = folder.driver.lives
    try:
        jobs = store.jobs(folder.store)
    except UserError:
        return Status(driven, 0, 0, 0, 0.0, None, ())
    done = [job for job in jobs if job.state == "done"]
    lines: list[str] = []
    shares: list[float] = []
    elapsed: list[float] = []
    for job in jobs:
        if job.state != "running":
            continue
        share, doing = _share(folder, job)
        lines.append(f"{job.scene} · {job.method}: {doing}")
        shares.append(share)
        lock = folder.run(job.scene, job.method).path / "job.lock"
        if lock.is_file() and share > 0.05:
            elapsed.append((time.time() - lock.stat().st_mtime) / share)
    known = [job.seconds for job in done] or elapsed
    left = sum(job.state in ("pending", "running") for job in jobs) - sum(shares)
    seconds = None
    if known and shares:
        seconds = left * sum(known) / len(known) / len(shares)
    failed = sum(job.state == "failed" for job in jobs)
    share = (len(done) + failed + sum(shares)) / max(1, len(jobs))
    return Status(driven, len(done), failed, len(jobs), share, seconds, tuple(lines))


def _share(folder: EvaluationDir, job: store.Job) -> tuple[float, str]:
    run = folder.run(job.scene, job.method)
    try:
        info = describe(run)
    except UserError:
        return 0.0, "starting"
    if info.state != "finished":
        done = info.step / max(1, info.total_steps)
        return TRAINING_SHARE * done, f"training, step {info.step} of {info.total_steps}"
    plan = read_plan(folder)
    concepts = len(list((folder.scenes / job.scene / "masks").glob("*.png")))
    total = len(subsets(concepts, plan.subsets)) * len(plan.prompts) * plan.images
    drawn = len(list(run.pictures.glob("*.png")))
    doing = f"drawing, {drawn} of {total}" if drawn < total else "scoring"
    return TRAINING_SHARE + (0.95 - TRAINING_SHARE) * drawn / max(1, total), doing
