"""The driver of many jobs: one process that hands them to an executor and hears how they end.

Only one at a time: it holds a lock that dies with it. Killed at any moment it leaves folders that
the next driver goes on with.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.core.errors import UserError
from engine.jobs.executors import Executor, JobCommand, Running, python_path

POLL_SECONDS = 0.3
START_SECONDS = 60.0

Job = TypeVar("Job")


def start_driver(words: Sequence[str], *, log: Path, lock: Path) -> int:
    """Start a driver in a process of its own that outlives this terminal; its process id."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"},
        )
    # Someone must collect the exit status, or a dead driver stays a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not is_driven(lock):
        time.sleep(0.05)
    return process.pid


def is_driven(lock: Path) -> bool:
    """Whether a driver lives."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def driver_pid(lock: Path) -> int | None:
    """Process id of the living driver."""
    if not is_driven(lock):
        return None
    try:
        return int(lock.read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def only_driver(lock: Path, problem: UserError) -> Iterator[list[int]]:
    """Hold the lock; raises `problem` where another process has it.

    Yields the list of signals that ask the driver to end, empty until one arrives.
    """
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise problem from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, _frame: stopping.append(signum))
        # A closed terminal must not end hours of work.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        yield stopping


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor,
    *,
    command: Callable[[Job], JobCommand],
    started: Callable[[Job], None],
    ended: Callable[[Job, int, bool], None],
    stopping: Sequence[int],
) -> None:
    """Run the jobs in their order until all have ended or `stopping` holds a signal.

    `ended` hears the job, its exit code and whether it was stopped.
    """
    waiting = list(jobs)
    running: dict[int, tuple[Job, Running]] = {}
    while waiting or running:
        if stopping:
            for job, handle in running.values():
                handle.stop()
                ended(job, 1, True)
            return
        for slot in range(executor.slots):
            if slot not in running and waiting:
                job = waiting.pop(0)
                started(job)
                running[slot] = job, executor.start(command(job), slot)
        for slot, (job, handle) in list(running.items()):
            code = handle.poll()
            if code is not None:
                del running[slot]
                ended(job, code, False)
        time.sleep(POLL_SECONDS)


def run_first(command: JobCommand, executor: Executor, stopping: Sequence[int]) -> int:
    """Run what jobs share, before the first of them; its exit code."""
    handle = executor.start(command, 0)
    while (code := handle.poll()) is None:
        if stopping:
            handle.stop()
            return 1
        time.sleep(POLL_SECONDS)
    return code


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
