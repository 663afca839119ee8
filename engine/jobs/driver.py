"""The driver of many jobs: one process that hands them to an executor and hears how they end.

Only one at a time: it holds a lock that dies with it. Killed at any moment it leaves folders that
the next driver goes on with.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from engine.core.errors import UserError
from engine.core.process_environment import engine_environment
from engine.jobs.executors import STOP_SECONDS, Executor, JobCommand, Running

POLL_SECONDS = 0.3
START_SECONDS = 60.0
LOOKING_SECONDS = 1.0

Job = TypeVar("Job")


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The one driver of a folder of jobs, alive or not."""

    package: str
    """`engine.batch` or `engine.evaluate`: `python -m PACKAGE drive FOLDER` is the driver."""
    folder: Path
    busy: UserError
    """What to say where another one lives."""

    @property
    def lock(self) -> Path:
        """Held by the living driver."""
        return self.folder / "driver.lock"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / "driver.log"

    def start(self, *options: str) -> int:
        """Start it in a process of its own that outlives this terminal; its process id."""
        with self.log.open("ab") as file:
            process = subprocess.Popen(
                [*package_words(self.package, "drive", self.folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **engine_environment()},
            )
        # Someone must collect the exit status, or a dead driver stays a zombie.
        threading.Thread(target=process.wait, daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None and not self.lives:
            time.sleep(0.05)
        return process.pid

    @property
    def lives(self) -> bool:
        """Whether it lives."""
        try:
            with self.lock.open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        if not self.lives:
            return None
        try:
            return int(self.lock.read_text())
        except (OSError, ValueError):
            return None

    def stop(self, seconds: float = 2 * STOP_SECONDS) -> str:
        """Ask it to end and wait for it; what came of it, as `NAME stopped`."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.lives and time.monotonic() < deadline:
            time.sleep(0.1)
        state = "is still writing its checkpoints and then ends" if self.lives else "stopped"
        return f"{self.folder.name} {state}"

    @contextmanager
    def alone(self) -> Iterator[list[int]]:
        """Hold the lock; raises `busy` where another process has it.

        Yields the list of signals that ask the driver to end, empty until one arrives.
        """
        with self.lock.open("a+") as file:
            _take(file, self.busy)
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


def _take(file: TextIO, busy: UserError) -> None:
    """Lock it; who only looks whether a driver lives holds it for a moment, too."""
    deadline = time.monotonic() + LOOKING_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise busy from None
            time.sleep(0.01)


def package_words(package: str, command: str, what: Path) -> list[str]:
    """`python -m PACKAGE COMMAND PATH`; -P keeps the person's folder off the module path."""
    return [sys.executable, "-P", "-m", package, command, str(what.resolve())]


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
            for _, handle in running.values():
                handle.ask()
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
