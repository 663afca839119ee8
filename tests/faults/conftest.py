"""Hosts that start at once, and the run that nobody disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runs.description import describe
from engine.runs.folder import RunDir
from tests.faults.nursery import Nursery
from tests.faults.runs import make_run, outcome


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks hosts."""
    made = Nursery(tmp_path_factory.mktemp("faults-home"))
    yield made
    made.close()


@pytest.fixture
def run(tiny_pipeline: Path, tmp_path: Path) -> RunDir:
    """A run of 24 steps on the tiny model, not started."""
    return make_run(tmp_path / "run", tiny_pipeline)


@pytest.fixture(scope="session")
def undisturbed(
    nursery: Nursery, tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """The outcome of that run when nothing happens to it."""
    whole = make_run(tmp_path_factory.mktemp("undisturbed") / "run", tiny_pipeline)
    assert nursery.start(whole).wait() == 0, whole.log.read_text()
    assert describe(whole).state == "finished"
    return outcome(whole)
