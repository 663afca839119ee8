"""On a terminal: the live display, what Ctrl-C asks, and pictures; over a real pseudo-terminal."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from engine.runs.description import describe
from engine.runs.library import find_run
from engine.runs.liveness import host_pid

FAKES = Path(__file__).parents[1] / "client"
BAS = f"""
import sys
from bas_tui.client import resident
from bas_tui.client import host_process
def command(*words):
    script = "fake_host.py" if words[0] == "run" else "fake_generator.py"
    return [sys.executable, {str(FAKES)!r} + "/" + script, *words]
host_process.host_command = resident.host_command = command
from bas_tui.cli.main import main
main()
"""


class Terminal:
    """`bas WORDS` on a pseudo-terminal of 100x30."""

    def __init__(self, *words: str) -> None:
        master, slave = pty.openpty()
        os.set_inheritable(slave, True)
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", BAS, *words],
            stdin=slave, stdout=slave, stderr=slave, env=environment,
            preexec_fn=self._take_terminal,
        )  # fmt: skip
        os.close(slave)
        self.master, self.seen = master, ""

    @staticmethod
    def _take_terminal() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def until(self, text: str, seconds: float = 60.0) -> None:
        """Read until the text has come; what was read before does not count again."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen[-2000:]!r}"
            self._read()
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(60)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 0.2)
        if not ready:
            return self.process.poll() is None
        try:
            data = os.read(self.master, 65536)
        except OSError as error:  # How Linux says that nobody holds the other end any more.
            if error.errno == errno.EIO:
                return False
            raise
        self.seen += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Terminal]]:
    """Start `bas` on a terminal; what still runs at the end is ended."""
    del home
    monkeypatch.setenv("FAKE_STEPS", "3000")
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal(*words))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.master)


Start = Callable[..., Terminal]


def test_ctrl_c_asks_and_can_stop_the_run(terminal: Start, desk: Path) -> None:
    screen = terminal("train", str(desk), "--name", "r")
    screen.until("it/s")
    screen.type("\x03")
    screen.until("[s]top the run, [l]eave it running, or [w]atch on?")
    screen.type("w\n")
    screen.until("it/s")
    screen.type("\x03")
    screen.until("[s]top the run")
    screen.type("s\n")
    screen.until("stopped at step")
    assert screen.end() == 130
    assert describe(find_run("r")).state == "stopped"


@pytest.mark.parametrize("answer", ["\n", "l\n", "\x03", "\x04"])
def test_any_other_answer_leaves_it_running(answer: str, terminal: Start, desk: Path) -> None:
    screen = terminal("train", str(desk), "--name", "r")
    screen.until("it/s")
    screen.type("\x03")
    screen.until("[s]top the run")
    screen.type(answer)
    screen.until("goes on without this terminal")
    assert screen.end() == 130
    assert host_pid(find_run("r")) is not None


def test_watching_is_left_without_a_question(terminal: Start, desk: Path) -> None:
    assert terminal("train", str(desk), "--name", "r", "--detach").end() == 0
    screen = terminal("watch", "--plain")
    screen.until("it/s")
    screen.type("\x03")
    screen.until("goes on without this terminal")
    assert "[s]top" not in screen.seen and screen.end() == 130


def test_rm_asks(terminal: Start, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_STEPS", "2")
    assert terminal("train", str(desk), "--name", "r").end() == 0
    for answer, there in (("n\n", True), ("\n", True), ("y\n", False)):
        screen = terminal("rm", "r")
        screen.until("for good? [y/N]")
        screen.type(answer)
        assert screen.end() == 0
        assert (find_run("r") if there else None) or not there


def test_a_picture_is_shown_in_half_blocks_without_a_query(tmp_path: Path) -> None:
    """Queries (device attributes, cell size) would eat the keys typed meanwhile."""
    picture = Image.linear_gradient("L").resize((40, 20)).convert("RGB")
    picture.save(tmp_path / "p.png")
    code = (
        "import sys; from pathlib import Path; from bas_tui.cli import stdout;"
        "stdout.picture(Path(sys.argv[1]), 'block')"
    )
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "p.png")],
        stdin=slave, stdout=slave, stderr=slave, env=environment,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "▀" in text and "48;5;" in text, "half-blocks in the 256 colours of this terminal"
    for query in ("\x1b[c", "\x1b[14t", "\x1b[16t", "\x1b]11;", "\x1b_G", "\x1b[>q"):
        assert query not in text


def test_ctrl_c_cancels_a_generation(terminal: Start, desk: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_STEPS", "2")
    assert terminal("train", str(desk), "--name", "r").end() == 0
    concepts = find_run("r").concepts
    concepts.mkdir()
    (concepts / "concepts.json").write_text("{}")
    screen = terminal("gen", "wait")
    screen.until("seed 3, 2 steps")
    screen.type("\x03")
    assert screen.end() == 130 and "Traceback" not in screen.seen
