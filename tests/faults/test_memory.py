"""A whole host with too little memory: one line, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.runs.event_reading import read_events
from engine.runs.events import RunEnded
from tests.faults.nursery import Nursery
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
