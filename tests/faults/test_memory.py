"""Too little memory for a whole host, in one line with what to do; the memory that a save takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.runs.event_reading import read_events
from engine.runs.events import RunEnded
from tests.faults.nursery import ROOT, Nursery
from tests.faults.runs import SETTINGS, leftovers, make_run


@pytest.mark.faults
def test_too_little_memory_gets_its_remedies(
    nursery: Nursery, tiny_pipeline: Path, tmp_path: Path
) -> None:
    """An address space that loads the model and cannot train it."""
    run = make_run(tmp_path / "run", tiny_pipeline, SETTINGS | {"batch_size": 4000})
    assert nursery.start(run, memory=2**31).wait() == 1, run.log.read_text()
    ended = read_events(run)[-1]
    assert isinstance(ended, RunEnded) and ended.outcome == "failed"
    assert "out of memory" in ended.message and "--set" in ended.remedy
    assert leftovers(run) == []


def memory_of_a_save(folder: Path, held: int) -> float:
    """Bytes that saves of 0.7 GB take at most, in a process of their own."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.bench.saving", "--json", "--share", "0.05",
         "--held", str(held), "--folder", str(folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert found["checkpoint"] > 650e6
    return found["peak"] - found["there"]


@pytest.mark.faults
def test_a_save_holds_no_more_than_its_bound(tmp_path: Path) -> None:
    """Of what does not fit, one file at a time is in memory, and never beside what is held."""
    assert memory_of_a_save(tmp_path, 400 * 10**6) < 500e6
    assert memory_of_a_save(tmp_path, 10**12) > 600e6
