"""Starting, following and commanding a host, and what happens to it when a viewer dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bas_tui.client import follow, send, start_host
from engine.core.errors import BasError, UserError
from engine.runs import events as ev
from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid

Fake = Callable[..., None]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def steps_of(run: RunDir) -> list[int]:
    return [event.step for event in read_events(run) if isinstance(event, ev.StepDone)]


def test_follow_gives_history_then_the_live_run_and_ends(run: RunDir, fake: Fake) -> None:
    fake(steps=30, delay=0.01)
    start_host(run)
    wait_until(lambda: len(read_events(run)) > 5)
    seen = list(follow(run))
    assert [event.seq for event in seen] == list(range(33))
    assert isinstance(seen[0], ev.RunStarted) and isinstance(seen[-1], ev.RunEnded)
    assert seen == read_events(run)
    assert list(follow(run, 30)) == seen[30:]
    assert list(follow(run, 33)) == []


@pytest.mark.parametrize("mode", ["gaps", "hangup", "no-socket"])
def test_follow_misses_nothing_whatever_the_socket_does(mode: str, run: RunDir, fake: Fake) -> None:
    fake(steps=20, delay=0.02, mode=mode)
    start_host(run)
    assert [event.seq for event in follow(run)] == list(range(23))


def test_a_torn_line_and_a_strange_kind_are_stepped_over(run: RunDir) -> None:
    good = [ev.to_line(ev.Notice(seq=k, level="info", message="m")) for k in range(3)]
    text = "\n".join([good[0], '{"kind":"from the future","seq":1}', "{nonsense", good[2], ""])
    run.events.write_text(text + '{"kind":"notice","seq":3,"level"')
    assert [event.seq for event in follow(run)] == [0, 2]


def test_a_killed_host_ends_the_stream_without_a_last_word(run: RunDir, fake: Fake) -> None:
    fake(steps=20, mode="die")
    start_host(run)
    seen = list(follow(run))
    assert [e.step for e in seen if isinstance(e, ev.StepDone)] == list(range(1, 10))
    assert not isinstance(seen[-1], ev.RunEnded)
    assert host_pid(run) is None and describe(run).state == "interrupted"


def test_after_a_resume_the_old_last_word_does_not_end_the_stream(run: RunDir, fake: Fake) -> None:
    fake(steps=10, mode="fail")
    start_host(run)
    assert isinstance(list(follow(run))[-1], ev.RunEnded)
    fake(steps=10, delay=0.03)
    start_host(run)  # The old host may still be leaving: this waits for it.
    seen = list(follow(run))
    assert [event.outcome for event in seen if isinstance(event, ev.RunEnded)] == [
        "failed",
        "finished",
    ]
    assert [event.step for event in seen if isinstance(event, ev.RunStarted)] == [0, 4]


def test_stop_ends_the_stream_soon(run: RunDir, fake: Fake) -> None:
    fake(steps=2000, delay=0.01)
    start_host(run)
    stop, seen = threading.Event(), []

    def look() -> None:
        seen.extend(follow(run, 0, stop))

    viewer = threading.Thread(target=look)
    viewer.start()
    wait_until(lambda: len(seen) > 3)
    stop.set()
    viewer.join(10)
    assert not viewer.is_alive() and seen and host_pid(run) is not None


def test_the_host_is_detached(run: RunDir, fake: Fake) -> None:
    fake(steps=2000)
    pid = start_host(run)
    assert os.getsid(pid) == pid != os.getsid(0)
    if sys.platform == "linux":
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {b"GOMP_SPINCOUNT=5000", b"MALLOC_MMAP_THRESHOLD_=33554432"} <= {*environment}
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        assert os.readlink(f"/proc/{pid}/fd/1") == str(run.log)
    with pytest.raises(UserError, match="training already"):
        start_host(run)


def test_commands_reach_the_host(run: RunDir, fake: Fake) -> None:
    fake(steps=2000)
    start_host(run)
    send(run, "pause")
    wait_until(lambda: describe(run).state == "paused")
    send(run, "resume")
    with pytest.raises(UserError, match="no such command - do not"):
        send(run, "explode")
    send(run, "stop")
    wait_until(lambda: host_pid(run) is None)
    assert describe(run).state == "stopped"
    with pytest.raises(UserError, match="bas resume r"):
        send(run, "pause")


def test_a_crash_on_the_way_is_told_by_the_last_line_of_the_log(run: RunDir, fake: Fake) -> None:
    fake(mode="crash")
    with pytest.raises(BasError) as caught:
        start_host(run)
    assert "ImportError: the library is broken" in str(caught.value)
    assert caught.value.exit_code == 1 and str(run.log) in caught.value.remedy


VIEWER = """
import sys
from pathlib import Path
from bas_tui.client import follow
from engine.runs.folder import RunDir
for event in follow(RunDir(Path(sys.argv[1]))):
    print(event.seq, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL])
def test_a_dead_viewer_does_not_matter_to_the_host(
    how: signal.Signals, run: RunDir, fake: Fake
) -> None:
    fake(steps=2000, delay=0.01)
    start_host(run)
    viewer = subprocess.Popen(
        [sys.executable, "-c", VIEWER, str(run.path)], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert viewer.stdout is not None and viewer.stdout.readline() == b"0\n"
    viewer.send_signal(how)
    assert viewer.wait(10) == -how
    before = len(steps_of(run))
    wait_until(lambda: len(steps_of(run)) > before + 5)
    assert host_pid(run) is not None


STARTER = """
import sys, time
from pathlib import Path
from bas_tui.client import host_process
from engine.runs.folder import RunDir
host_process.host_command = lambda *words: [sys.executable, sys.argv[2], *words]
print(host_process.start_host(RunDir(Path(sys.argv[1]))), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_the_death_of_its_starter_does_not_matter_to_the_host(
    how: signal.Signals, run: RunDir, fake: Fake
) -> None:
    """The signal goes to the starter's whole process group, as a closing terminal sends it."""
    fake(steps=2000, delay=0.01)
    fake_host = str(Path(__file__).parent / "fake_host.py")
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(run.path), fake_host],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    os.killpg(starter.pid, how)
    starter.wait(10)
    before = len(steps_of(run))
    wait_until(lambda: len(steps_of(run)) > before + 5)
    assert host_pid(run) == pid
