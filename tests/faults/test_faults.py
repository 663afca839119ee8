"""Faults injected into whole hosts: kills, two at once, clocks, disks. `make test-faults`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import CheckpointSaved, RunEnded, StepDone
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from tests.full_disk import mount, unmount

ROOT = Path(__file__).parents[2]


def run_kills(kills: int, seed: int) -> subprocess.CompletedProcess[str]:
    """The tormentor, which forks hosts from a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", "--kills", str(kills), "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_a_few_kills_lose_nothing() -> None:
    result = run_kills(4, seed=1)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "0 lost" in result.stdout


@pytest.mark.faults
def test_a_hundred_kills_lose_nothing() -> None:
    result = run_kills(100, seed=2)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "100 kills" in result.stdout and "0 lost" in result.stdout


def start(run: RunDir, **environment: str) -> subprocess.Popen[bytes]:
    """A host as the front ends start one."""
    with run.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "engine", "run", str(run.path)],
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                "BAS_HOME": str(run.path.parent), **environment,
            },
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def make_run(folder: Path, base: Path) -> RunDir:
    """A run of 24 steps on the tiny model."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.faults.kills import make_run\n"
        "make_run(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder), str(base)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, check=True,
    )  # fmt: skip
    return RunDir(folder)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Until the condition holds or the process has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.faults
def test_two_hosts_at_once(tiny_pipeline: Path, tmp_path: Path) -> None:
    """One trains, the other says so in one line; whichever comes first."""
    run = make_run(tmp_path / "run", tiny_pipeline)
    hosts = [start(run), start(run)]
    codes = sorted(host.wait() for host in hosts)
    assert codes == [0, 2]
    assert describe(run).state == "finished"
    steps = [event.step for event in read_events(run) if isinstance(event, StepDone)]
    assert steps == list(range(1, 25))
    assert "already has a host" in run.log.read_text() or "is finished" in run.log.read_text()


@pytest.mark.faults
def test_a_stop_just_after_a_due_checkpoint(tiny_pipeline: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_pipeline)
    host = start(run)
    wait_for(lambda: any(isinstance(e, CheckpointSaved) for e in read_events(run)), host)
    host.send_signal(signal.SIGTERM)
    assert host.wait() == 0
    saved = [event.step for event in read_events(run) if isinstance(event, CheckpointSaved)]
    assert saved and len(saved) == len(set(saved))
    assert start(run).wait() == 0 and describe(run).state == "finished"


@pytest.mark.faults
def test_torn_and_foreign_lines_in_the_log(tiny_pipeline: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tiny_pipeline)
    host = start(run)
    wait_for(lambda: describe(run).step >= 5, host)
    host.kill()
    host.wait()
    with run.events.open("ab") as file:
        file.write(b'\x00\x00\x00\n[1, 2]\n{"kind": "step", "seq": "x"}\n{"kind":"step","step')
    assert describe(run).state == "interrupted"
    assert start(run).wait() == 0 and describe(run).state == "finished"
    steps = {event.step for event in read_events(run) if isinstance(event, StepDone)}
    assert steps >= set(range(1, 25))


@pytest.mark.faults
def test_a_clock_that_jumps(tiny_pipeline: Path, tmp_path: Path) -> None:
    """Times of events and of host.pid are of a wall clock; nothing else may depend on it."""
    run = make_run(tmp_path / "run", tiny_pipeline)
    host = start(run)
    wait_for(lambda: describe(run).step >= 3, host)
    host.kill()
    host.wait()
    future = time.time() + 10 * 365 * 86400
    for path in [run.events, run.manifest, *run.checkpoints.glob("*")]:
        os.utime(path, (future, future))
    text = run.events.read_text().replace('"time":1', '"time":9')
    run.events.write_text(text)
    run.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": "0"}))
    assert host_pid(run) is None, "another process has the dead host's number"
    assert start(run).wait() == 0 and describe(run).state == "finished"


@pytest.mark.faults
@pytest.mark.parametrize("moment", ["before", "steps"])
def test_a_full_disk_pauses_a_whole_host(tiny_pipeline: Path, tmp_path: Path, moment: str) -> None:
    disk = mount(tmp_path / "disk", 96 * 2**20)
    try:
        run = make_run(disk.path / "run", tiny_pipeline)
        if moment == "before":
            ballast = disk.fill()
            host = start(run)
            assert host.wait() == 1, "it says so and starts nothing"
            ballast.unlink()
            assert start(run).wait() == 0 and describe(run).state == "finished"
            return
        host = start(run)
        wait_for(lambda: describe(run).step >= 7, host)
        ballast = disk.fill()
        time.sleep(3)
        assert host.poll() is None, "it stands still and lives"
        ballast.unlink()
        assert host.wait() == 0
        events = read_events(run)
        assert [e.step for e in events if isinstance(e, StepDone)] == list(range(1, 25))
        assert isinstance(events[-1], RunEnded) and events[-1].outcome == "finished"
    finally:
        unmount(disk)


@pytest.mark.faults
def test_a_home_that_cannot_be_written(tiny_pipeline: Path, tmp_path: Path) -> None:
    disk = mount(tmp_path / "disk", 96 * 2**20)
    try:
        run = make_run(disk.path / "run", tiny_pipeline)
        subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
        result = subprocess.run(
            [sys.executable, "-P", "-m", "engine", "run", str(run.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        )  # fmt: skip
        lines = result.stderr.strip().splitlines()
        assert result.returncode == 1 and len(lines) == 1 and "Read-only" in lines[0]
        subprocess.run(["mount", "-o", "remount,rw", str(disk.path)], check=True)
        assert start(run).wait() == 0
    finally:
        unmount(disk)


@pytest.mark.faults
def test_too_little_memory_gets_its_remedies(tiny_pipeline: Path, tmp_path: Path) -> None:
    """An address space that loads the model and cannot train it."""
    run = make_run(tmp_path / "run", tiny_pipeline)
    text = run.manifest.read_text()
    run.manifest.write_text(text.replace("[settings]", "[settings]\nbatch_size = 4000", 1))
    code = (
        "import resource, sys\nfrom pathlib import Path\nimport torch, diffusers\n"
        "import engine.training.loop\nfrom engine.hosts.train import run_host\n"
        "torch.set_num_threads(1)\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**31,) * 2)\n"
        "sys.exit(run_host(Path(sys.argv[1])))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(run.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "BAS_HOME": str(tmp_path)},
    )
    assert process.returncode == 1
    ended = read_events(run)[-1]
    assert isinstance(ended, RunEnded) and ended.outcome == "failed"
    assert "out of memory" in ended.message and "--set" in ended.remedy
