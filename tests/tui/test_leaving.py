"""However the application ends, the terminal is as it was; where none can be drawn on, none is."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tui.test_batch_screen import make_batch

pytestmark = pytest.mark.slow

PATIENCE = 90.0
OPEN = "from bas_tui.tui.run_app import run; raise SystemExit(run('runs'))"
CRASH = f"""
from bas_tui.tui.app import BasApp
def crash(self):
    raise RuntimeError("a test's crash")
BasApp.action_help = crash
{OPEN}
"""
ON_AND_OFF = {
    "the alternate screen": ("\x1b[?1049h", "\x1b[?1049l"),
    "the mouse": ("\x1b[?1003h", "\x1b[?1003l"),
    "the cursor": ("\x1b[?25l", "\x1b[?25h"),
    "bracketed paste": ("\x1b[?2004h", "\x1b[?2004l"),
    "the kitty keyboard": ("\x1b[>", "\x1b[<u"),
}


class Ended(NamedTuple):
    code: int
    text: str
    echoes: bool
    """Whether the terminal shows what is typed, as it did before."""


def in_terminal(
    arguments: list[str], act: str | int | None, up: str = "No runs yet", **environ: str
) -> Ended:
    """Run a program in a pseudo-terminal; when `up` is seen, send it keys or a signal, or not."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", "LINES": "30", "COLUMNS": "90", **environ},
        start_new_session=True,
    )  # fmt: skip
    text, end, acted = "", time.monotonic() + PATIENCE, act is None
    while process.poll() is None:
        assert time.monotonic() < end, f"it did not end: {text[-500:]!r}"
        if select.select([master], [], [], 0.05)[0]:
            text += os.read(master, 65536).decode(errors="replace")
        if not acted and up in text:
            acted = True
            if isinstance(act, int):
                process.send_signal(act)
            elif act:
                os.write(master, act.encode())
    while select.select([master], [], [], 0.2)[0]:
        text += os.read(master, 65536).decode(errors="replace")
    echoes = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
    os.close(slave)
    os.close(master)
    return Ended(process.returncode, text, echoes)


def test_the_keys_and_signals_that_end_it_restore_the_terminal() -> None:
    cases: list[tuple[list[str], str, str | int, int]] = [
        (["-m", "bas_tui", "batch", "/photos", "--watch"], "0 of 1 scenes done", "q", 0),
        (["-c", OPEN], "No runs yet", signal.SIGTERM, 128 + signal.SIGTERM),
        (["-c", OPEN], "No runs yet", signal.SIGINT, 128 + signal.SIGINT),
        (["-c", OPEN], "No runs yet", signal.SIGHUP, 128 + signal.SIGHUP),
        (["-c", CRASH], "No runs yet", "?", 1),
    ]
    make_batch("photos", ["desk"])
    for program, up, act, expected in cases:
        ended = in_terminal(program, act, up)
        assert ended.code == expected, (act, ended.text[-800:])
        for what, (on, off) in ON_AND_OFF.items():
            assert ended.text.rfind(off) > ended.text.find(on) > -1, (act, what)
        assert ended.echoes, act
        assert "Traceback" not in ended.text
        if act == "?":
            last = ended.text.rsplit("\x1b[?25h", 1)[1]
            assert "error: RuntimeError: a test's crash - the traceback is in" in last


def test_a_terminal_that_obeys_nothing_gets_lines() -> None:
    ended = in_terminal(["-m", "bas_tui"], None, TERM="dumb")
    assert ended.code == 0 and "\x1b" not in ended.text and "no runs yet" in ended.text


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trouble(closed: str, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m bas_tui {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stdout + done.stderr
    if "2" not in closed:
        assert "no runs yet" in done.stderr
