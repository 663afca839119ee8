"""A whole host on a disk that fills up, that is too small, that may not be written."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bas_tui.client.host_process import connect
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import Notice, Paused, RunEnded, StepDone
from engine.runs.folder import RunDir
from tests.faults.kills import MOMENTS
from tests.faults.nursery import Host, Nursery
from tests.faults.runs import SETTINGS, STEPS, leftovers, make_run, outcome, step_of
from tests.full_disk import SmallDisk, mount, unmount

SIZE = 96 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk with room for the run, and for little else."""
    made = mount(tmp_path / "disk", SIZE)
    yield made
    unmount(made)


@pytest.fixture
def run(disk: SmallDisk, tiny_pipeline: Path) -> RunDir:
    """A run on that disk."""
    return make_run(disk.path / "run", tiny_pipeline)


class Viewer:
    """Hears what the host says, also what it cannot write."""

    def __init__(self, run: RunDir) -> None:
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self._link = connect(run)
        self._link.settimeout(None)
        self._link.sendall(b'{"from": 0}\n')
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self._link, self._link.makefile("rb") as file:
            for line in file:
                record = json.loads(line)
                self.texts.append(str(record.get("message", "")))
                self.kinds.append(record["kind"])


def fill_within(host: Host, disk: SmallDisk, leave: int) -> Path:
    """Fill the disk while the host is frozen, so that it makes no step meanwhile."""
    host.signal(signal.SIGSTOP)
    ballast = disk.fill(leave)
    host.signal(signal.SIGCONT)
    return ballast


def draws_a_preview(run: RunDir) -> bool:
    """Its write itself is over in less than a millisecond."""
    step, every = step_of(run), int(SETTINGS["preview.every"])
    return step > 0 and step % every == 0 and not (run.previews / f"step-{step:06d}.png").exists()


def start_until(moment: str, nursery: Nursery, run: RunDir) -> tuple[Host, Viewer]:
    """A host at one of `MOMENTS`, which are short: one that was missed is tried for anew."""
    come = draws_a_preview if moment == "within a preview" else MOMENTS[moment]
    fresh = run.path.with_name("fresh")
    shutil.copytree(run.path, fresh)
    for _ in range(10):
        host = nursery.start(run)
        assert host.wait_until(lambda: step_of(run) >= 1)
        viewer = Viewer(run)
        if host.wait_until(lambda: come(run)) and host.poll() is None:
            return host, viewer
        shutil.rmtree(run.path)
        shutil.copytree(fresh, run.path)
    raise AssertionError(f"no host was ever seen {moment}")


def test_a_disk_that_fills_up_within_the_steps(
    nursery: Nursery, run: RunDir, disk: SmallDisk, undisturbed: dict[str, object]
) -> None:
    """It stands still, says why over the socket, goes on by itself, and no line is lost."""
    host = nursery.start(run)
    assert host.wait_until(lambda: step_of(run) >= 7)
    viewer = Viewer(run)
    ballast = fill_within(host, disk, leave=0)
    assert host.wait_until(lambda: "paused" in viewer.kinds)
    assert any("is full" in text for text in viewer.texts)
    stood = len(viewer.kinds)
    assert host.poll() is None
    ballast.unlink()
    assert host.wait() == 0
    events = read_events(run)
    assert len(events) > stood and [e.seq for e in events] == list(range(len(events)))
    assert [e.step for e in events if isinstance(e, StepDone)] == list(range(1, STEPS + 1))
    assert any(isinstance(e, Paused) for e in events)
    assert isinstance(events[-1], RunEnded) and events[-1].outcome == "finished"
    assert outcome(run) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(12))
def test_a_disk_that_fills_up_at_any_moment(
    nursery: Nursery, run: RunDir, disk: SmallDisk, undisturbed: dict[str, object], seed: int
) -> None:
    """Within every kind of write, with a few bytes left or none; a kill while it waits."""
    chance = random.Random(seed)
    moments = list(MOMENTS)
    host, viewer = start_until(moments[seed % len(moments)], nursery, run)
    leave = chance.choice([0, 100, 5000, 200_000])
    ballast = fill_within(host, disk, leave=leave)
    paused = host.wait_until(lambda: "paused" in viewer.kinds)
    # With some room left a small write may fit, and after the last one nothing waits for more.
    assert paused or leave > 0 or MOMENTS["at the end"](run)
    if paused:
        assert any("is full" in text for text in viewer.texts)
        if seed % 3 == 0:
            host.signal(signal.SIGKILL)
    ballast.unlink()
    assert host.wait() == (-signal.SIGKILL if paused and seed % 3 == 0 else 0)
    if describe(run).state != "finished":
        assert nursery.start(run).wait() == 0
    assert describe(run).state == "finished"
    assert outcome(run) == undisturbed
    assert leftovers(run) == []


@pytest.mark.faults
def test_a_disk_that_is_full_before(nursery: Nursery, run: RunDir, disk: SmallDisk) -> None:
    """It says so in one line and starts nothing."""
    log = run.path.parent.parent / "host.log"
    run.log.symlink_to(log)
    ballast = disk.fill()
    assert nursery.start(run).wait() == 1
    (line,) = log.read_text().splitlines()
    assert line.startswith("error") and "No space left" in line and "bas resume" in line
    ballast.unlink()
    assert describe(run).state == "new"
    assert nursery.start(run).wait() == 0 and describe(run).state == "finished"


@pytest.mark.faults
def test_a_folder_that_cannot_be_written(nursery: Nursery, run: RunDir, disk: SmallDisk) -> None:
    log = run.path.parent.parent / "host.log"
    run.log.symlink_to(log)
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    assert nursery.start(run).wait() == 1
    (line,) = log.read_text().splitlines()
    assert line.startswith("error") and "Read-only" in line
    subprocess.run(["mount", "-o", "remount,rw", str(disk.path)], check=True)
    assert nursery.start(run).wait() == 0


@pytest.mark.faults
@pytest.mark.parametrize("step", [4, 10], ids=["a checkpoint", "the switch"])
def test_checkpoints_that_cannot_be_written(
    nursery: Nursery, run: RunDir, undisturbed: dict[str, object], step: int
) -> None:
    """Their folder becomes read-only beneath the run: it waits, and goes on by itself."""
    host = nursery.start(run)
    assert host.wait_until(lambda: step_of(run) >= step)
    viewer = Viewer(run)
    host.signal(signal.SIGSTOP)
    mount(run.checkpoints, 2**20)
    subprocess.run(["mount", "-o", "remount,ro", str(run.checkpoints)], check=True)
    host.signal(signal.SIGCONT)
    assert host.wait_until(lambda: "paused" in viewer.kinds)
    assert any("cannot be saved" in text for text in viewer.texts)
    stood = step_of(run)
    assert host.poll() is None and stood < STEPS
    subprocess.run(["umount", "-l", str(run.checkpoints)], check=True)
    assert host.wait() == 0 and describe(run).state == "finished"
    assert outcome(run) == undisturbed


@pytest.mark.faults
def test_a_preview_that_finds_no_room(
    nursery: Nursery, tiny_pipeline: Path, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    """Each is a warning, and the run does not wait."""
    run = make_run(tmp_path / "run", tiny_pipeline)
    small = mount(run.previews, 2**14)
    try:
        small.fill()
        assert nursery.start(run).wait() == 0
        events = read_events(run)
    finally:
        unmount(small)
    missing = [e for e in events if isinstance(e, Notice) and "no preview at step" in e.message]
    assert len(missing) == STEPS // int(SETTINGS["preview.every"])
    assert all("No space left" in each.message for each in missing)
    assert not any(isinstance(event, Paused) for event in events)
    assert outcome(run) == undisturbed
