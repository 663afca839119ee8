"""The driver: hands jobs to an executor and is the only writer of the store. No torch here.

Killed at any moment it leaves a store that the next driver goes on with: results lie in the run
folders until they are taken in, and a job without a result is done again from its checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.core.errors import UserError
from engine.core.process_environment import engine_environment
from engine.core.settings import build_config
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, Plan, job_settings, read_plan
from engine.jobs import driver
from engine.jobs.executors import (
    Executor,
    ExecutorName,
    JobCommand,
    cpu_count,
    gpu_count,
    make_executor,
)

JOB_LOG = "job.log"
RESULT = "result.json"


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
    with folder.driver.alone() as stopping:
        store.create(folder.store, plan.scenes, plan.methods)
        store.reset_unfinished(folder.store)
        _take_results(folder)
        count = jobs or default_jobs(plan)
        if not _waiting(folder):
            return _exit_code(folder)
        threads = plan.threads or max(1, cpu_count() // count)
        made = make_executor(executor, count, threads)
        try:
            if _prior_wanted(plan):
                _prepare(folder, made, stopping)
            driver.run_jobs(
                _waiting(folder),
                made,
                command=lambda job: job_command(folder, job, threads, keep=keep_models),
                started=lambda job: store.set_state(folder.store, job.id, "running"),
                ended=lambda job, code, stopped: _finish(folder, job, code, stopped=stopped),
                stopping=stopping,
            )
        finally:
            made.close()
        return _exit_code(folder)


def default_jobs(plan: Plan) -> int:
    """One job a GPU; without one, as many as the suite's threads fit the cores."""
    return gpu_count() or max(1, cpu_count() // plan.threads if plan.threads else 1)


def job_command(folder: EvaluationDir, job: store.Job, threads: int, *, keep: bool) -> JobCommand:
    """How to run a job; its talk goes to its run folder."""
    words = [*_words("job", folder), job.scene, job.method, *(["--keep-models"] if keep else [])]
    log = folder.run(job.scene, job.method).path / JOB_LOG
    return JobCommand(words=tuple(words), environment=engine_environment(threads), log=log)


def _words(command: str, folder: EvaluationDir) -> list[str]:
    return driver.package_words("engine.evaluate", command, folder.path)


def _finish(folder: EvaluationDir, job: store.Job, code: int, *, stopped: bool) -> None:
    """Take in what the job left: its result, or the last line of its log."""
    if take_result(folder, job):
        return
    if stopped:
        store.set_state(folder.store, job.id, "pending")
        return
    log = folder.run(job.scene, job.method).path / JOB_LOG
    store.set_state(folder.store, job.id, "failed", driver.last_line(log) or f"exit code {code}")


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
    return any(config.needs_prior for config in configs)


def _prepare(folder: EvaluationDir, executor: Executor, stopping: Sequence[int]) -> None:
    """Make what jobs share, before the first of them starts."""
    words = tuple(_words("prepare", folder))
    command = JobCommand(words=words, environment=engine_environment(0), log=folder.log)
    if driver.run_first(command, executor, stopping) and not stopping:
        raise UserError(
            f"the prior pictures could not be made: {driver.last_line(folder.log)}",
            f"see {folder.log}",
        )
