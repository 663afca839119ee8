"""Hosts forked from one process that has torch loaded: a start costs a moment, not ten seconds.

`Nursery` starts `python -m tests.faults.nursery`, which forks a host for every line it reads. The
forked host is what `python -m engine run` is after its imports, with one thread: the sum over many
threads has no fixed order, so runs would differ without any fault.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.lean_imports import lean_imports
from engine.runs.folder import RunDir

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.002
PATIENCE_SECONDS = 300
"""No host of a test is waited for any longer."""


def fork_host(run: RunDir, *, memory: int | None = None) -> int:
    """Fork a host of its own session that talks to the run's log; its process id.

    `memory`: bytes of address space that it may take beyond what it has. Call it in a process that
    has started no threads.
    """
    pid = os.fork()
    if pid == 0:
        from engine.hosts.train import run_host

        os.setsid()
        log = os.open(run.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if memory is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os._exit(run_host(run.path))
    return pid


def collect(pid: int) -> int | None:
    """Exit code of a forked host, negative for a signal; None while it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def load_everything() -> None:
    """Import what a host imports, so that its forks need not."""
    with lean_imports():
        import torch

        import engine.families.loading
        import engine.hosts.train
        import engine.training.loop

    del engine
    torch.set_num_threads(1)


@dataclass
class Host:
    """A forked host."""

    pid: int
    ask: Callable[..., Any]
    code: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it lives."""
        if self.code is None:
            self.code = self.ask(poll=self.pid)
        return self.code

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (code := self.poll()) is None:
            self._tick(deadline)
        return code

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait for the condition; False when the host ended before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if self.poll() is not None:
                return condition()
            self._tick(deadline)
        return True

    def _tick(self, deadline: float) -> None:
        """Wait a little; past the deadline kill the host, so that a test fails and never hangs."""
        if time.monotonic() > deadline:
            self.signal(signal.SIGKILL)
            raise AssertionError(f"host {self.pid} neither ended nor came to what was awaited")
        time.sleep(POLL_SECONDS)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


class Nursery:
    """A process that forks hosts, all with one BAS_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                "BAS_HOME": str(home),
            },
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, run: RunDir, *, memory: int | None = None) -> Host:
        """Start a host of the run."""
        return Host(self._ask(start=str(run.path), memory=memory), self._ask)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Answer every line of stdin."""
    load_everything()
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer = fork_host(RunDir(Path(question["start"])), memory=question["memory"])
        else:
            answer = collect(question["poll"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
