"""Several processes share a run: the same gradient as one process with the same samples."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from bas_tui.client.host_process import run_command
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from tests.faults.test_faults import ROOT, make_run

STEPS = {"phase1.steps": 10, "phase2.steps": 10}


def change(run: RunDir, **settings: object) -> None:
    """Other settings of a run that has no host."""
    table = tomllib.loads(run.manifest.read_text())
    table["settings"] |= STEPS | settings
    run.manifest.write_text(tomli_w.dumps(table))


def finish(run: RunDir) -> dict[int, float]:
    """Train to the end; the losses by step."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with run.log.open("ab") as log:
        code = subprocess.call(
            run_command(run), env=environment, stdout=log, stderr=log, cwd=run.path
        )
    assert code == 0, run.log.read_text()[-3000:]
    assert describe(run).state == "finished"
    return {e.step: e.loss for e in read_events(run) if isinstance(e, StepDone)}


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
