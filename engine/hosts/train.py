"""The run host: the process that owns a run. It loads, trains, logs and obeys.

Started detached by a front end (`python -m engine run RUN_DIR`); a hang-up of the terminal that
started it does not reach it, and viewers come and go over the control socket.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.core.config import TrainConfig, gpu_number
from engine.core.errors import BasError, UserError
from engine.core.lean_imports import lean_imports
from engine.core.memory import is_out_of_memory
from engine.core.settings import build_config
from engine.core.versions import versions
from engine.files.atomic import write_atomic
from engine.files.space import is_full
from engine.hosts.machine import MachineWatch
from engine.runs.commands import Command, CommandQueue
from engine.runs.control import ControlServer
from engine.runs.description import describe
from engine.runs.event_log import EventLog
from engine.runs.events import (
    Event,
    Notice,
    Paused,
    PhaseStarted,
    Progress,
    Resumed,
    RunEnded,
    StepDone,
)
from engine.runs.folder import RunDir
from engine.runs.library import drop_checkpoints
from engine.runs.liveness import process_start, socket_path
from engine.runs.manifest import read_manifest, write_manifest

STAGES = {
    "load": "while loading the base model",
    "words": "while looking for start words",
    "encode": "while encoding the scene",
    "prior": "while drawing prior pictures",
}
"""Where memory may run out before the first step, in words."""


def run_host(path: Path) -> int:
    """Train the run of this folder to its end; returns the exit code.

    0: finished or stopped; 1: failed (the last event says why); 2: this is no run, or it already
    has a host.
    """
    run = RunDir(path.resolve())
    try:
        manifest = read_manifest(run)
        config = build_config(manifest.settings)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    commands = CommandQueue()
    if os.environ.get("RANK", "0") != "0":
        # A further process of a distributed run: it trains along, the first one talks.
        for _ in _events(run, config, commands, lambda _event: None):
            pass
        return 0
    return _Host(run, config, commands).serve()


class _Host:
    """Process id file, event log, control socket and the training thread of one run."""

    def __init__(self, run: RunDir, config: TrainConfig, commands: CommandQueue) -> None:
        self._run, self._config, self._commands = run, config, commands
        self._last_step = 0
        self._outcome = "failed"
        self._stage = ""

    def serve(self) -> int:
        run = self._run
        # A closed terminal must not end the run; a polite end asks the loop for a checkpoint.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._commands.post(Command(word="stop")))
        try:
            # The kernel frees the lock with the process, however it dies: no stale lock, no race.
            lock = (run.path / "host.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"error: {run.name} already has a host - bas watch shows it", file=sys.stderr)
            return UserError.exit_code
        except OSError as error:
            return self._cannot_write(error)
        if describe(run).state == "finished":
            drop_checkpoints(run, keep=self._config.checkpoint_keep_after)
            print(f"error: {run.name} is finished - draw with it: bas gen", file=sys.stderr)
            return UserError.exit_code
        try:
            self._log = EventLog(run.events)
            record = {
                "pid": os.getpid(), "started": process_start(os.getpid()),
                "first": self._log.next_seq,
            }  # fmt: skip
            write_atomic(run.pid_file, json.dumps(record).encode())
            control = ControlServer(socket_path(run), self._log, self._commands.post)
        except OSError as error:
            run.pid_file.unlink(missing_ok=True)
            return self._cannot_write(error)
        try:
            thread = threading.Thread(target=self._train, name="training", daemon=True)
            thread.start()
            machine = MachineWatch(run.path, gpu_number(self._config.device))
            while thread.is_alive():
                # Short waits: Python runs signal handlers in this thread only between them.
                thread.join(0.5)
                if (load := machine.read()) is not None:
                    self._log.tell(load)
        finally:
            run.pid_file.unlink(missing_ok=True)
            control.close()
            self._log.close()
        return 0 if self._outcome in ("finished", "stopped") else 1

    def _cannot_write(self, error: OSError) -> int:
        remedy = "free some space on its disk" if is_full(error) else "make it writable"
        message = f"{self._run.path} cannot be written: {error.strerror}"
        print(f"error: {message} - {remedy}, then bas resume {self._run.name}", file=sys.stderr)
        return BasError.exit_code

    def _train(self) -> None:
        try:
            self._append(Progress(stage="load", done=0, total=0, label="torch"))
            for event in _events(self._run, self._config, self._commands, self._append):
                self._append(event)
        except BasError as error:
            self._fail(error.message, error.remedy)
        except Exception as error:
            if is_full(error):
                self._fail(
                    f"the disk is full ({error})",
                    f"free some space, then bas resume {self._run.name}; nothing that was finished "
                    "is lost",
                )
                return
            if is_out_of_memory(error):
                where = STAGES.get(self._stage, f"before step {self._last_step + 1}")
                self._fail(
                    f"out of memory {where}",
                    f"close other programs, then bas resume {self._run.name}, or with less: --set "
                    "gradient_checkpointing=true --set phase2.train=cross-attention",
                )
                return
            traceback.print_exc()
            self._fail(
                f"{type(error).__name__}: {error}",
                f"details are in {self._run.log}; bas resume {self._run.name} goes on from the "
                "last checkpoint",
            )

    def _append(self, event: Event) -> None:
        if isinstance(event, StepDone):
            self._last_step, self._stage = event.step, ""
        if isinstance(event, Progress):
            self._stage = event.stage
        if isinstance(event, PhaseStarted):
            self._stage = ""
        if isinstance(event, RunEnded):
            self._outcome = event.outcome
        self._log.append(event)
        if self._log.trouble is not None:
            self._wait_for_the_disk()

    def _wait_for_the_disk(self) -> None:
        """Stand still while the log cannot be written, and go on by itself; `stop` ends the wait.

        The viewers are told: their lines come over the socket.
        """
        if self._commands.asked("stop"):
            return
        message = f"{self._run.events} cannot be written: {self._log.trouble}"
        if is_full(self._log.trouble):
            message = f"the disk of {self._run.path} is full"
        remedy = "free some space; the run waits and goes on by itself"
        self._log.append(Notice(level="warning", message=message, remedy=remedy))
        self._log.append(Paused(step=self._last_step))
        while not self._log.retry():
            if self._commands.asked("stop"):
                return
            time.sleep(1.0)
        self._log.append(Resumed(step=self._last_step))

    def _fail(self, message: str, remedy: str) -> None:
        self._append(
            RunEnded(step=self._last_step, outcome="failed", message=message, remedy=remedy)
        )


def _events(
    run: RunDir,
    config: TrainConfig,
    commands: CommandQueue,
    report: Callable[[Event], None],
) -> Iterator[Event]:
    """Load what run.toml names and train it.

    torch is imported only here: by now viewers can already follow and command the run.
    """
    with lean_imports():
        from engine.families.devices import make_accelerator, precision_note, unused_gpu
        from engine.families.loading import load_for
        from engine.scenes.scene import open_saved_scene, scene_hash
        from engine.training.loop import train

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if config.gradient_accumulation % processes:
        raise UserError(
            f"{processes} processes cannot share {config.gradient_accumulation} passes a step",
            f"set gradient_accumulation to a multiple of {processes}",
        )
    passes = config.gradient_accumulation // processes
    accelerator = make_accelerator(config.device, config.precision, passes)
    manifest = read_manifest(run)
    unused = unused_gpu(accelerator.device) if config.device == "auto" else ""
    if unused and manifest.base != "pocket":
        raise UserError(
            f"torch cannot use this machine's NVIDIA GPU: {unused}",
            "install PyTorch for your card (README); to train on the processor all the same, which "
            "takes hours, start with --set device=cpu",
        )
    scene = open_saved_scene(run.scene)
    mixed = accelerator.mixed_precision
    loaded = load_for(
        manifest.base,
        config,
        device=accelerator.device,
        precision="fp32" if mixed == "no" else mixed,
        report=report,
    )
    if manifest.base_hash and manifest.base_hash != loaded.base_hash:
        raise UserError(
            f"{manifest.base} has other weights than when this run was started",
            "put the old base model back, or start a new run",
        )
    if accelerator.is_main_process:
        filled = dataclasses.replace(
            manifest,
            base_hash=loaded.base_hash,
            scene_hash=scene_hash(scene),
            versions=versions(),
        )
        write_manifest(run, filled)
    yield Notice(level="info", message=precision_note(config.precision, accelerator))
    yield from train(
        loaded.family,
        scene,
        config,
        initializers=[concept.initializer for concept in manifest.concepts],
        run=run,
        commands=commands,
        accelerator=accelerator,
        base=manifest.base,
        base_hash=loaded.base_hash,
    )
