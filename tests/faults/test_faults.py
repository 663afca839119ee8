"""Faults injected into whole hosts: kills, two at once, damage, clocks. `make test-faults`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bas_tui.client.host_process import said_last_word, send
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import CheckpointSaved, StepDone
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from tests.faults.nursery import ROOT, Nursery
from tests.faults.runs import SETTINGS, STEPS, make_run, outcome, step_of


def run_kills(kills: int, seed: int) -> subprocess.CompletedProcess[str]:
    """The tormentor, which forks hosts from a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.kills", "--kills", str(kills), "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.faults
def test_a_hundred_kills_lose_nothing() -> None:
    result = run_kills(100, seed=2)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "100 kills" in result.stdout and "0 lost" in result.stdout


def test_a_kill_and_torn_and_foreign_lines(
    nursery: Nursery, run: RunDir, undisturbed: dict[str, object]
) -> None:
    """Killed within the steps; what a power cut may leave in the log is passed over."""
    host = nursery.start(run)
    assert host.wait_until(lambda: step_of(run) >= 5)
    host.signal(signal.SIGKILL)
    assert host.wait() == -signal.SIGKILL
    with run.events.open("ab") as file:
        file.write(b'\x00\x00\x00\n[1, 2]\n{"kind": "step", "seq": "x"}\n{"kind":"step","step')
    assert describe(run).state == "interrupted"
    assert nursery.start(run).wait() == 0 and describe(run).state == "finished"
    assert outcome(run) == undisturbed


def test_two_hosts_at_once(nursery: Nursery, run: RunDir) -> None:
    """One trains, the other says so in one line; whichever comes first."""
    hosts = [nursery.start(run), nursery.start(run)]
    assert sorted(host.wait() for host in hosts) == [0, 2]
    assert describe(run).state == "finished"
    steps = [event.step for event in read_events(run) if isinstance(event, StepDone)]
    assert steps == list(range(1, STEPS + 1))
    (line,) = [line for line in run.log.read_text().splitlines() if line.startswith("error")]
    assert "already has a host" in line or "is finished" in line
    # As a host leaves it that was killed between its last word and the removal.
    (run.checkpoints / f"step-{STEPS:06d}").mkdir(parents=True)
    assert nursery.start(run).wait() == 2 and not run.checkpoints.exists()


@pytest.mark.faults
def test_ends_before_the_first_step(nursery: Nursery, tiny_pipeline: Path, tmp_path: Path) -> None:
    """Told to stop and killed while it loads and encodes, killed while it draws prior pictures."""
    settings = SETTINGS | {"loss.prior_images": 3, "loss.prior_steps": 60}
    run = make_run(tmp_path / "run", tiny_pipeline, settings)
    cache = nursery.home / "cache" / "prior"

    def pictures() -> dict[Path, int]:
        found = cache.rglob("*.safetensors")
        return {path: path.stat().st_mtime_ns for path in found if path not in others}

    def told(run: RunDir) -> str:
        return run.events.read_text() if run.events.exists() else ""

    others = set(cache.rglob("*.safetensors"))
    for stage, number in (
        ("load", signal.SIGTERM), ("load", signal.SIGKILL), ("encode", signal.SIGKILL),
    ):  # fmt: skip
        word = f'"stage":"{stage}"'
        begun = told(run).count(word)
        host = nursery.start(run)
        assert host.wait_until(lambda word=word, begun=begun: told(run).count(word) > begun)
        host.signal(number)
        assert host.wait() == (0 if number == signal.SIGTERM else -number)
    host = nursery.start(run)
    assert host.wait_until(lambda: len(pictures()) > 0)
    host.signal(signal.SIGKILL)
    assert host.wait() == -signal.SIGKILL and describe(run).state == "interrupted"
    kept = pictures()
    assert len(kept) < 3, "the kill came too late to be one"
    assert nursery.start(run).wait() == 0 and describe(run).state == "finished"
    assert len(pictures()) == 3 and kept.items() <= pictures().items(), "none is drawn again"
    steps = [event.step for event in read_events(run) if isinstance(event, StepDone)]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.faults
def test_a_stop_just_after_a_due_checkpoint(
    nursery: Nursery, run: RunDir, undisturbed: dict[str, object]
) -> None:
    host = nursery.start(run)
    host.wait_until(lambda: any(isinstance(e, CheckpointSaved) for e in read_events(run)))
    host.signal(signal.SIGTERM)
    assert host.wait() == 0
    saved = [event.step for event in read_events(run) if isinstance(event, CheckpointSaved)]
    assert saved and len(saved) == len(set(saved))
    assert describe(run).state == "stopped"
    assert nursery.start(run).wait() == 0 and outcome(run) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("jump", [-1, 1], ids=["back", "ahead"])
def test_a_clock_that_jumps(
    nursery: Nursery, run: RunDir, undisturbed: dict[str, object], jump: int
) -> None:
    """Ten years between two hosts: only what is shown may depend on the wall clock."""
    host = nursery.start(run)
    assert host.wait_until(lambda: step_of(run) >= 4)
    host.signal(signal.SIGTERM)
    assert host.wait() == 0 and describe(run).state == "stopped"
    other = time.time() - jump * 10 * 365 * 86400
    for path in [run.events, run.manifest, *run.checkpoints.rglob("*")]:
        os.utime(path, (other, other))
    lines = [json.loads(line) for line in run.events.read_text().splitlines()]
    moved = [line | {"time": line["time"] + other - time.time()} for line in lines]
    run.events.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in moved))
    run.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": "0"}))
    assert host_pid(run) is None, "another process has the dead host's number"
    host = nursery.start(run)
    assert host.wait_until(lambda: host_pid(run) == host.pid)
    assert not said_last_word(run), "the last word in the log is the earlier host's"
    assert host.wait() == 0 and outcome(run) == undisturbed


@pytest.mark.faults
def test_a_pause_outlives_its_viewer_and_not_its_host(
    nursery: Nursery, run: RunDir, undisturbed: dict[str, object]
) -> None:
    """Killed while it stands still: the next host goes on."""
    host = nursery.start(run)
    assert host.wait_until(lambda: step_of(run) >= 3)
    send(run, "pause")
    assert host.wait_until(lambda: describe(run).state == "paused")
    host.signal(signal.SIGKILL)
    host.wait()
    assert describe(run).state == "interrupted"
    assert nursery.start(run).wait() == 0 and outcome(run) == undisturbed
