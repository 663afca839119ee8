"""Where jobs run: in processes of this machine, or on a Ray cluster. No torch here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from engine.core.errors import UserError

ExecutorName = Literal["local", "ray"]
STOP_SECONDS = 30.0
"""How long a job may take to write its checkpoint when it is told to stop."""


@dataclass(frozen=True, kw_only=True)
class JobCommand:
    """The command of a job, the same wherever it runs."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    """On top of what the executor's own processes have."""
    log: Path


class Running(Protocol):
    """A job that was handed over."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        ...

    def ask(self) -> None:
        """Ask it to end."""
        ...

    def stop(self) -> None:
        """Ask it to end and wait; a checkpoint is written if the time allows."""
        ...


class Executor(Protocol):
    """Runs jobs; `slots` is how many at a time."""

    slots: int

    def start(self, command: JobCommand, slot: int) -> Running:
        """Hand a job over to a free slot, 0..slots-1."""
        ...

    def close(self) -> None:
        """Let go of whatever was held for running jobs."""
        ...


def gpu_count() -> int:
    """NVIDIA devices of this machine that may be used; cheap and without torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([word for word in visible.split(",") if word.strip() not in ("", "-1")])
    folder = Path("/dev")
    return sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in folder.glob("nvidia*"))


def cpu_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_executor(name: ExecutorName, slots: int, threads: int) -> Executor:
    """The executor of that name; `threads`: how many each job may use."""
    return RayExecutor(slots, threads) if name == "ray" else LocalExecutor(slots)


class LocalExecutor:
    """Processes of this machine; with GPUs, each slot has one of them."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._gpus = gpu_count()

    def start(self, command: JobCommand, slot: int) -> Running:
        """Start the job's process."""
        environment = {**os.environ, **command.environment}
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = _nth_gpu(slot % self._gpus)
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            process = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is the driver's affair: it lets jobs write their checkpoint.
                start_new_session=True,
                env=environment,
            )
        return _LocalJob(process)

    def close(self) -> None:
        """Nothing is held."""


class _LocalJob:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def ask(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        self.ask()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class RayExecutor:
    """Tasks of a Ray cluster, one GPU each where it has any.

    Every node must see the home folder of `bas` at the same path (a shared disk) and have the
    package installed. `RAY_ADDRESS` names the cluster; without it, a local one is started.
    """

    def __init__(self, slots: int, threads: int) -> None:
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise UserError("ray is not installed", "pip install 'bas-tui[ray]'") from error
        self._ray: Any = ray
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {} if address else {"num_cpus": max(cpu_count(), slots)}
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, include_dashboard=False, **options)
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        cpus = min(threads, int(resources.get("CPU", 1)))
        self._task: Any = ray.remote(num_cpus=cpus, num_gpus=1 if gpus else 0, max_retries=0)(
            run_command
        )
        self.slots = slots

    def start(self, command: JobCommand, slot: int) -> Running:
        """Submit the job as a task."""
        del slot  # Ray chooses the node and its GPU.
        command.log.parent.mkdir(parents=True, exist_ok=True)
        words, environment = list(command.words), dict(command.environment)
        words[0] = "python" if os.environ.get("RAY_ADDRESS") else sys.executable
        return _RayJob(self._ray, self._task.remote(words, environment, str(command.log)))

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


class _RayJob:
    def __init__(self, ray: Any, task: Any) -> None:
        self._ray, self._task = ray, task

    def poll(self) -> int | None:
        ready, _ = self._ray.wait([self._task], timeout=0)
        if not ready:
            return None
        try:
            return int(self._ray.get(self._task))
        except Exception:  # Whatever became of the worker: the job has no result.
            return 1

    def ask(self) -> None:
        # The job notices that its parent is gone and writes its checkpoint.
        self._ray.cancel(self._task, force=True)

    def stop(self) -> None:
        self.ask()


def run_command(words: list[str], environment: dict[str, str], log: str) -> int:
    """Run a job's command on whatever node this is; its exit code."""
    with open(log, "ab") as file:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            check=False,
        ).returncode


def _nth_gpu(index: int) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index].strip() if visible else str(index)
