"""The driver of a batch: hands every run that is not finished to an executor. No torch here.

Killed at any moment it leaves nothing to mend: its jobs write their checkpoints and end, and the
next driver goes on with the runs where they are.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from engine.batch.folder import (
    BatchDir,
    BatchScene,
    Jobs,
    read_batch,
    write_jobs,
)
from engine.core.errors import UserError
from engine.core.process_environment import engine_environment
from engine.jobs import driver
from engine.jobs.executors import (
    ExecutorName,
    JobCommand,
    cpu_count,
    gpu_count,
    make_executor,
)
from engine.runs.description import describe
from engine.runs.folder import RunDir


def drive(folder: BatchDir, *, jobs: int = 0, executor: ExecutorName = "local") -> int:
    """Train every scene that is not finished; 0 when all are, else 1.

    `jobs` of 0: one scene a GPU; on a cluster all at once, because Ray keeps the queue. Raises
    UserError when another driver lives.
    """
    scenes = read_batch(folder).scenes
    with folder.driver.alone() as stopping:
        left = [scene for scene in scenes if state_of(scene.run) != "finished"]
        if not left:
            return 0
        cluster = executor == "ray" and bool(os.environ.get("RAY_ADDRESS"))
        slots = jobs or (len(left) if cluster else gpu_count() or 1)
        threads = max(1, cpu_count() // slots)
        steps = sum(describe(scene.run).step for scene in scenes)
        notes = _Notes(folder, Jobs(started=time.time(), steps=steps))
        notes.change(preparing=True)
        made = make_executor(executor, slots, threads)
        try:
            # Failing is no matter: every run makes what it lacks, and says what is wrong.
            driver.run_first(_command("prepare", folder.path, folder.log, 0), made, stopping)
            notes.change(preparing=False)
            driver.run_jobs(
                left,
                made,
                command=lambda scene: _command("job", scene.run.path, scene.run.log, threads),
                started=notes.started,
                ended=notes.ended,
                stopping=stopping,
            )
        finally:
            made.close()
        return int(any(state_of(scene.run) != "finished" for scene in scenes))


class _Notes:
    """jobs.json, kept up to date."""

    def __init__(self, folder: BatchDir, jobs: Jobs) -> None:
        self._folder, self._jobs = folder, jobs

    def change(self, *, preparing: bool) -> None:
        self._write(replace(self._jobs, preparing=preparing))

    def started(self, scene: BatchScene) -> None:
        self._write(replace(self._jobs, running=(*self._jobs.running, scene.name)))

    def ended(self, scene: BatchScene, code: int, stopped: bool) -> None:
        running = tuple(name for name in self._jobs.running if name != scene.name)
        failed = dict(self._jobs.failed)
        if code and not stopped and state_of(scene.run) not in ("finished", "stopped"):
            failed[scene.name] = driver.last_line(scene.run.log) or f"exit code {code}"
        self._write(replace(self._jobs, running=running, failed=failed))

    def _write(self, jobs: Jobs) -> None:
        self._jobs = jobs
        write_jobs(self._folder, jobs)


def state_of(run: RunDir) -> str:
    """What a run is doing; `new` where its folder cannot be read."""
    try:
        return describe(run).state
    except UserError:
        return "new"


def _command(command: str, what: Path, log: Path, threads: int) -> JobCommand:
    words = tuple(driver.package_words("engine.batch", command, what))
    return JobCommand(words=words, environment=engine_environment(threads), log=log)
