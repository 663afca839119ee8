"""Whole evaluations of a tiny model with random weights: jobs, kills, restarts, Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, create_evaluation
from engine.evaluate.runner import (
    RESULT,
    drive,
    job_command,
)
from engine.evaluate.status import status
from engine.evaluate.suites import Suite, read_suite
from engine.evaluate.tables import make_tables
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import Progress
from engine.runs.folder import RunDir
from tests.evaluate.conftest import TINY_SUITE, plan_of, scenes

SECONDS = 240.0


@pytest.fixture
def make(home: Path, suite: Suite, tiny_pipeline: Path):
    del home

    def evaluation(name: str, **changes: object) -> EvaluationDir:
        plan = plan_of(suite, str(tiny_pipeline), **changes)
        chosen = [source for source in scenes() if source.name in plan.scenes]
        return create_evaluation(name, plan, chosen)

    return evaluation


@pytest.fixture(scope="module")
def whole(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationDir:
    """An evaluation of one scene by two methods that nothing disturbed; read it only."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.toml").write_text(TINY_SUITE)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BAS_HOME", str(folder / "home"))
        environment.setenv("HF_HUB_OFFLINE", "1")
        plan = plan_of(read_suite(str(folder / "tiny.toml")), str(tiny_pipeline), scenes=["scene0"])
        made = create_evaluation("whole", plan, scenes(1))
        assert drive_in_child(made, "--jobs", "2") == 0
    return made


def drive_in_child(folder: EvaluationDir, *words: str) -> int:
    """The driver as the product runs it: in a process of its own."""
    command = [sys.executable, "-m", "engine.evaluate", "drive", str(folder.path), *words]
    return subprocess.run(command, timeout=SECONDS, check=False).returncode


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def numbers(folder: EvaluationDir) -> list[store.ScoreRow]:
    return store.scores(folder.store)


def test_a_run_repeats_and_a_killed_one_ends_alike(make, whole: EvaluationDir) -> None:
    assert [job.state for job in store.jobs(whole.store)] == ["done"] * 2
    expected = numbers(whole)
    # 2 methods, 3 subsets, 1 prompt, 1 picture, 1 measure each.
    assert len(expected) == 2 * 3
    assert len({row.value for row in expected}) > 3
    tables = make_tables(whole)
    assert [row.pictures for row in tables.rows] == [3, 3]
    run = whole.run("scene0", "ti-m")
    assert describe(run).state == "finished"
    assert not run.checkpoints.exists()
    assert not run.concepts.exists()

    killed = make("killed", scenes=["scene0"])
    killed.driver.start("--jobs", "1")
    wait_for(lambda: any(killed.path.glob("runs/*/" + RESULT)), "no job ended")
    pid = killed.driver.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not killed.driver.lives, "the driver lives on")
    assert any(job.state != "done" for job in store.jobs(killed.store))
    assert drive_in_child(killed, "--jobs", "1") == 0
    assert numbers(killed) == expected


KILLED_WHEN_IT_WRITES = """
import os, runpy, signal, sys

fatal = sys.argv.pop(1)

def watch(event, words):
    if event == "os.rename" and os.path.basename(words[1]) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
runpy.run_module("engine.evaluate", run_name="__main__", alter_sys=True)
"""


def test_a_job_killed_when_it_writes_goes_on(make) -> None:
    """When it writes its second picture, then when it writes its result."""
    folder = make("drawing", scenes=["scene0"], methods=["ti-m"])
    store.create(folder.store, ["scene0"], ["ti-m"])
    run = folder.run("scene0", "ti-m")
    # It kills itself: a killer outside would have to be quicker than a tiny model's pictures.
    (job_row,) = store.jobs(folder.store)
    command = job_command(folder, job_row, 1, keep=False)
    environment = {**os.environ, **command.environment}
    first, written = run.pictures / "0000.png", []
    for fatal, kept in (("0001.png", False), (RESULT, True)):
        words = [sys.executable, "-c", KILLED_WHEN_IT_WRITES, fatal]
        words += command.words[command.words.index("job") :]
        job = subprocess.run(words, timeout=SECONDS, check=False, env=environment)
        assert job.returncode == -signal.SIGKILL
        assert (run.pictures / "0001.png").exists() == kept
        assert not (run.path / RESULT).exists()
        written.append((first.read_bytes(), first.stat().st_mtime_ns))
    assert drive_in_child(folder) == 0
    written.append((first.read_bytes(), first.stat().st_mtime_ns))
    pixels, drawn = zip(*written, strict=True)
    assert pixels[0] == pixels[1] == pixels[2]
    # Pictures of a batch are drawn together or not at all.
    assert drawn[0] != drawn[1] == drawn[2]
    assert len(numbers(folder)) == 3


def test_only_one_driver_and_an_orphaned_job_ends(make) -> None:
    folder = make("alone", scenes=["scene0"], methods=["ti-m"])
    with folder.driver.alone():
        assert folder.driver.lives
        assert folder.driver.pid == os.getpid()
        with pytest.raises(UserError, match="running already"):
            drive(folder)
    assert not folder.driver.lives
    assert folder.driver.pid is None


def test_prior_pictures_are_made_once_and_a_failed_job_is_said(make, home: Path) -> None:
    settings = {"loss.prior_weight": 1.0, "loss.prior_images": 2, "loss.prior_steps": 2}
    folder = make("failing", scenes=["scene0"], settings=settings)
    broken = RunDir(folder.run("scene0", "ti-m").path)
    broken.path.mkdir(parents=True)
    broken.manifest.write_text("[run]\n")
    assert drive_in_child(folder) == 1
    states = {job.method: (job.state, job.message) for job in store.jobs(folder.store)}
    assert states["break-a-scene"][0] == "done"
    assert states["ti-m"][0] == "failed"
    assert "no readable run folder" in states["ti-m"][1]
    now = status(folder)
    assert (now.done, now.failed, now.total, now.driven) == (1, 1, 2, False)
    assert [row.method for row in make_tables(folder).rows] == ["break-a-scene"]
    assert "prior pictures 2/2" in folder.log.read_text()
    assert len(list(home.glob("cache/prior/*/*"))) == 4
    stages = [event.stage for event in read_events(folder.run("scene0", "break-a-scene"))
              if isinstance(event, Progress) and event.stage == "prior"]  # fmt: skip
    # The job found them all there: one line, that it has them.
    assert len(stages) == 1


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is an optional extra")
def test_a_local_ray_gives_the_same_table(make, whole: EvaluationDir) -> None:
    there = make("there", scenes=["scene0"], methods=["ti-m"])
    assert drive_in_child(there, "--executor", "ray") == 0
    assert numbers(there) == [row for row in numbers(whole) if row.method == "ti-m"]
    assert json.loads((there.run("scene0", "ti-m").path / RESULT).read_text())["pictures"]
