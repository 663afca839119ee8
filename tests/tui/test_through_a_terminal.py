"""The application in a real pseudo-terminal: paint, train, lose the terminal, attach, stop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.runs.description import describe
from engine.runs.event_reading import read_events
from engine.runs.events import RunEnded, StepDone
from engine.runs.library import list_runs
from engine.runs.liveness import host_pid

pytestmark = pytest.mark.slow

COLUMNS, ROWS = 100, 32
PATIENCE = 120.0
ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\-_])")


class Terminal:
    """`bas ARGUMENTS` in a pseudo-terminal of its own; what it writes is collected."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "bas_tui", *arguments], environment)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._written = bytearray()
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return
            if not data:
                return
            self._written += data

    @property
    def text(self) -> str:
        """Everything written so far without escape sequences."""
        return ESCAPES.sub("", self._written.decode("utf-8", "replace"))

    def keys(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def drag(self, points: list[tuple[int, int]]) -> None:
        """Press the left button at the first cell, move over the others, release (SGR mouse)."""
        first, last = points[0], points[-1]
        steps = [f"\x1b[<0;{first[0]};{first[1]}M"]
        steps += [f"\x1b[<32;{x};{y}M" for x, y in points[1:]]
        for step in [*steps, f"\x1b[<0;{last[0]};{last[1]}m"]:
            self.keys(step)
            time.sleep(0.05)

    def wait_for(self, words: str) -> None:
        until(lambda: words in self.text, f"{words!r} on the screen; it ends {self.text[-600:]!r}")

    def close(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SSH_")}
    return kept | {
        "TERM": "xterm-256color", "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1",
        "XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state"),
    }  # fmt: skip


def test_paint_train_hang_up_attach_stop(
    tiny_pipeline: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    base = tmp_path / "tiny"
    shutil.copytree(tiny_pipeline, base)
    # Long enough to be met alive after the hang-up, and nothing that would slow the test down.
    recipe = "[loss]\nprior_weight = 0\n[phase1]\nsteps = 20000\n[preview]\nevery = 0\n"
    (base / "bas_recipe.toml").write_text(recipe)
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[20:70, 12:60] = (220, 60, 40)
    Image.fromarray(picture).save(tmp_path / "thing.png")

    first = Terminal(["open", str(tmp_path / "thing.png"), "--base", str(base)], environment)
    try:
        first.wait_for("none yet")
        first.keys("b")  # The brush: a bare photo opens with the tool that finds things.
        first.drag([(14, 10), (20, 10), (26, 12), (30, 14)])
        first.wait_for("nothing stands against training")
        first.keys("t")
        until(lambda: bool(list_runs()), "a run folder")
        run = list_runs()[0]
        assert len(list((run.scene / "masks").iterdir())) == 1
        until(lambda: any(isinstance(e, StepDone) for e in read_events(run)), "a first step")
        os.kill(first.pid, signal.SIGHUP)
        os.waitpid(first.pid, 0)
        at_hang_up = describe(run).step
        until(lambda: describe(run).step > at_hang_up, "training beyond the hang-up")
        assert host_pid(run) is not None
    finally:
        first.close()

    second = Terminal(["attach", run.name], environment)
    try:
        second.wait_for("Attention")
        second.keys("x")
        second.wait_for("Stop training")
        second.keys("y")
        until(lambda: any(isinstance(e, RunEnded) for e in read_events(run)), "the run's end")
        until(lambda: host_pid(run) is None, "the host to leave")
    finally:
        second.close()
        if (pid := host_pid(run)) is not None:
            with contextlib.suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(pid, signal.SIGKILL)
    ended = [event for event in read_events(run) if isinstance(event, RunEnded)]
    assert ended[-1].outcome == "stopped"
    assert (run.concepts / "concepts.json").is_file()
