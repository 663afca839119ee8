"""Several processes share a run: the same gradient as one process with the same samples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import tomli_w

from bas_tui.client.host_process import run_command
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from tests.faults.nursery import ROOT
from tests.faults.runs import make_run, step_of

STEPS = {"phase1.steps": 10, "phase2.steps": 10}


def change(run: RunDir, **settings: object) -> None:
    """Other settings of a run that has no host."""
    table = tomllib.loads(run.manifest.read_text())
    table["settings"] |= STEPS | settings
    run.manifest.write_text(tomli_w.dumps(table))


def start(run: RunDir) -> subprocess.Popen[bytes]:
    """The run's host, or its hosts."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with run.log.open("ab") as log:
        return subprocess.Popen(
            run_command(run), env=environment, stdout=log, stderr=log, cwd=run.path
        )


def finish(run: RunDir) -> dict[int, float]:
    """Train to the end; the losses by step."""
    assert start(run).wait() == 0, run.log.read_text()[-3000:]
    assert describe(run).state == "finished"
    return {e.step: e.loss for e in read_events(run) if isinstance(e, StepDone)}


def stop_within(run: RunDir, step: int) -> None:
    """Train until the step, then stop with a checkpoint."""
    host = start(run)
    while step_of(run) < step and host.poll() is None:
        time.sleep(0.01)
    pid = host_pid(run)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    host.wait()
    assert describe(run).state == "stopped", run.log.read_text()[-3000:]


@pytest.mark.faults
def test_two_processes_train_what_one_does(tiny_pipeline: Path, tmp_path: Path) -> None:
    """20 steps on the gloo backend, equal in loss to 1e-6."""
    one, two = (make_run(tmp_path / name, tiny_pipeline) for name in ("one", "two"))
    change(one, gradient_accumulation=2)
    change(two, gradient_accumulation=2, gpus=2)
    assert run_command(one)[3] == "engine" and sys.executable in run_command(two)
    alone, together = finish(one), finish(two)
    assert len(alone) == 20 and alone.keys() == together.keys()
    for step, loss in alone.items():
        assert together[step] == pytest.approx(loss, abs=1e-6), step


@pytest.mark.faults
def test_a_run_goes_on_with_another_number_of_processes(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    """One, then two, then one again, stopped in each phase: equal to one process throughout."""
    whole, changed = (make_run(tmp_path / name, tiny_pipeline) for name in ("whole", "changed"))
    change(whole, gradient_accumulation=2)
    alone = finish(whole)
    for gpus, step in ((1, 3), (2, 12)):
        change(changed, gradient_accumulation=2, gpus=gpus)
        stop_within(changed, step)
    change(changed, gradient_accumulation=2, gpus=1)
    mixed = finish(changed)
    assert mixed.keys() == alone.keys()
    for step, loss in alone.items():
        assert mixed[step] == pytest.approx(loss, abs=1e-6), step
