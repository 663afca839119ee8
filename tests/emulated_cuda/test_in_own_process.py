"""Starts the walks over the emulated device, each file in a process of its own (`walk_*.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulated_cuda.guard import missing

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def walk(name: str) -> None:
    """All tests of a file, with the device loaded before torch."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.emulated_cuda.emulate",
         "-p", "no:cacheprovider", "-q", str(HERE / name)],
        cwd=HERE.parents[1], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_a_run_and_its_pictures() -> None:
    walk("walk_training.py")


@pytest.mark.emulated
def test_resumed_in_half_precision() -> None:
    walk("walk_resume.py")


@pytest.mark.emulated
def test_too_little_memory_at_every_stage() -> None:
    walk("walk_memory.py")


@pytest.mark.emulated
def test_what_is_measured_on_a_card() -> None:
    walk("walk_bench.py")
