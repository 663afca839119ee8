"""The driver: hands jobs to an executor and is the only writer of the store. No torch here.

Killed at any moment it leaves a store that the next driver goes on with: results lie in the run
folders until they are taken in, and a job without a result is done again from its checkpoint.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.evaluate import store
from engine.evaluate.executors import (
    JOB_LOG,
    Executor,
    LocalExecutor,
    RayExecutor,
    Running,
    default_jobs,
    job_command,
    python_path,
)
from engine.evaluate.job_plan import EvaluationDir, Plan, job_settings, read_plan

POLL_SECONDS = 0.3
START_SECONDS = 60.0
RESULT = "result.json"

ExecutorName = Literal["local", "ray"]


def drive(
    folder: EvaluationDir,
    *,
    jobs: int = 0,
    executor: ExecutorName = "local",
    keep_models: bool = False,
) -> int:
    """Do every job that has no result yet; 0 when all are done, 1 when some failed.

    `jobs` of 0: `default_jobs`. Raises UserError when another driver lives.
    """
    plan = read_plan(folder)
    stopping: list[int] = []
    with only_driver(folder):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, _frame: stopping.append(signum))
        # A closed terminal must not end hours of work.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        store.create(folder.store, plan.scenes, plan.methods)
        store.reset_unfinished(folder.store)
        _take_results(folder)
        count = jobs or default_jobs(plan)
        if _waiting(folder) and _prior_wanted(plan):
            _prepare(folder, stopping)
        if not _waiting(folder) or stopping:
            return _exit_code(folder)
        made: Executor
        if executor == "ray":
            made = RayExecutor(folder, plan, count, keep=keep_models)
        else:
            made = LocalExecutor(folder, plan, count, keep=keep_models)
        try:
            _run_jobs(folder, made, lambda: bool(stopping))
        finally:
            made.close()
        return _exit_code(folder)


def start_driver(
    folder: EvaluationDir,
    *,
    jobs: int = 0,
    executor: ExecutorName = "local",
    keep_models: bool = False,
) -> int:
    """Start the driver in a process of its own that outlives this terminal; its process id."""
    words = [sys.executable, "-P", "-m", "engine.evaluate", "drive", str(folder.path.resolve())]
    words += ["--jobs", str(jobs), "--executor", executor]
    words += ["--keep-models"] if keep_models else []
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"},
        )
    # Someone must collect the exit status, or a dead driver stays a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not is_driven(folder):
        time.sleep(0.05)
    return process.pid


def is_driven(folder: EvaluationDir) -> bool:
    """Whether a driver lives."""
    try:
        with folder.lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def driver_pid(folder: EvaluationDir) -> int | None:
    """Process id of the living driver."""
    if not is_driven(folder):
        return None
    try:
        return int(folder.lock.read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def only_driver(folder: EvaluationDir) -> Iterator[None]:
    """Hold the evaluation's lock; raises UserError where another process has it."""
    with folder.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"the evaluation {folder.name} is running already",
                f"look at it: bas eval watch {folder.name}",
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _run_jobs(folder: EvaluationDir, executor: Executor, stopped: Callable[[], bool]) -> None:
    waiting = _waiting(folder)
    running: dict[int, tuple[store.Job, Running]] = {}
    while waiting or running:
        if stopped():
            for job, handle in running.values():
                handle.stop()
                _finish(folder, job, 1, stopped=True)
            return
        for slot in range(executor.slots):
            if slot not in running and waiting:
                job = waiting.pop(0)
                store.set_state(folder.store, job.id, "running")
                running[slot] = job, executor.start(job, slot)
        for slot, (job, handle) in list(running.items()):
            code = handle.poll()
            if code is not None:
                del running[slot]
                _finish(folder, job, code, stopped=False)
        time.sleep(POLL_SECONDS)


def _finish(folder: EvaluationDir, job: store.Job, code: int, *, stopped: bool) -> None:
    """Take in what the job left: its result, or the last line of its log."""
    if take_result(folder, job):
        return
    if stopped:
        store.set_state(folder.store, job.id, "pending")
        return
    log = folder.run(job.scene, job.method).path / JOB_LOG
    store.set_state(folder.store, job.id, "failed", last_line(log) or f"exit code {code}")


def _take_results(folder: EvaluationDir) -> None:
    for job in store.jobs(folder.store):
        if job.state != "done":
            take_result(folder, job)


def take_result(folder: EvaluationDir, job: store.Job) -> bool:
    """Take in the result that lies in the job's run folder; whether there is one.

    A result of other base weights or other scorers than the first one's fails the job: a table
    must not mix them.
    """
    path = folder.run(job.scene, job.method).path / RESULT
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    known, found = store.facts(folder.store), result["facts"]
    changed = [
        key
        for key, value in known.items()
        if key.startswith(("base_hash", "scorer.")) and str(found.get(key)) != value
    ]
    if changed:
        message = f"other {changed[0]} than the finished jobs: evaluate anew under another --name"
        store.set_state(folder.store, job.id, "failed", message)
    else:
        store.add_result(folder.store, job.id, result)
    return True


def _waiting(folder: EvaluationDir) -> list[store.Job]:
    return [job for job in store.jobs(folder.store) if job.state == "pending"]


def _exit_code(folder: EvaluationDir) -> int:
    return int(any(job.state != "done" for job in store.jobs(folder.store)))


def _prior_wanted(plan: Plan) -> bool:
    configs = [build_config(job_settings(plan, method)) for method in plan.methods]
    return any(c.phase2.steps > 0 and c.loss.prior_weight > 0 for c in configs)


def _prepare(folder: EvaluationDir, stopping: list[int]) -> None:
    """Make what jobs share in a process of its own, before the first of them starts."""
    any_job = store.jobs(folder.store)[0]
    command = job_command(folder, any_job, 0, keep=False)
    words = [*command.words[:4], "prepare", str(folder.path.resolve())]
    environment = {**os.environ, **command.environment}
    environment.pop("OMP_NUM_THREADS")
    with folder.log.open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            if stopping:
                process.terminate()
            time.sleep(POLL_SECONDS)
    if process.returncode and not stopping:
        raise UserError(
            f"the prior pictures could not be made: {last_line(folder.log)}", f"see {folder.log}"
        )


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
