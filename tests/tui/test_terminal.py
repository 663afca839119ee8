"""What is known of the terminal, the clipboard, ASCII, preferences."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from bas_tui.tui.drawing.ascii_filter import AsciiFilter
from bas_tui.tui.drawing.terminal import TRUECOLOR, Terminal, detect
from bas_tui.tui.drawing.tmux import Tmux, ask_tmux, wrapped
from bas_tui.tui.shell import preferences
from bas_tui.tui.shell.clipboard import LIMIT, copy, osc52
from bas_tui.tui.shell.terminal_driver import ByteMeter


@pytest.mark.parametrize(
    ("environ", "colors"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, TRUECOLOR),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, 256),
        ({"TERM": "dumb"}, 0),
    ],
)
def test_colours(environ: dict[str, str], colors: int) -> None:
    assert detect(environ=environ).colors == colors
    assert detect("truecolor", environ=environ).colors == TRUECOLOR


def test_slow_links_and_old_locales_are_noticed() -> None:
    far = detect(environ={"TERM": "xterm", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})
    assert far.low_bandwidth
    assert far.cadence == 2 * Terminal().cadence
    assert not detect(low_bandwidth=False, environ={"SSH_CONNECTION": "x"}).low_bandwidth
    assert detect(environ={"TERM": "xterm", "LANG": "C"}).ascii
    assert detect(environ={"TERM": "xterm", "LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}).ascii
    assert not detect(environ={"TERM": "xterm", "LANG": "de_DE.UTF-8"}).ascii
    assert not detect(environ={"TERM": "xterm"}).ascii


def test_copying_is_wrapped_for_tmux_and_guarded() -> None:
    plain = osc52("bas watch x", Terminal())
    assert base64.b64decode(plain.removeprefix("\x1b]52;c;").removesuffix("\x07")) == b"bas watch x"
    both = osc52("bas watch x", Terminal(tmux=Tmux(clipboard="on", passthrough=True)))
    assert both == plain + wrapped(plain)
    assert wrapped(plain).startswith("\x1bPtmux;\x1b\x1b]52") and both.endswith("\x07\x1b\\")
    assert osc52("x", Terminal(tmux=Tmux())) == "", "tmux's defaults let nothing through"
    assert osc52("x" * (LIMIT + 1), Terminal()) == ""
    assert osc52("x", Terminal(clipboard=False)) == ""


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A tmux server of its own, with its defaults, in which this process seems to run."""
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux")
    socket = str(tmp_path / "s")
    subprocess.run(["tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "sleep", "60"])
    monkeypatch.setenv("TMUX", f"{socket},1,0")
    yield socket
    subprocess.run(["tmux", "-S", socket, "kill-server"])


def test_tmux_with_default_options_gets_the_text_into_its_buffer(tmux: str) -> None:
    assert ask_tmux() == Tmux(clipboard="external", passthrough=False, outer="")
    written: list[str] = []
    tried = copy("bas resume x", Terminal(tmux=ask_tmux()), written.append)
    assert "tmux's buffer" in tried and not written
    shown = subprocess.run(["tmux", "-S", tmux, "show-buffer"], capture_output=True, text=True)
    assert shown.stdout == "bas resume x"
    for command in ("set -s set-clipboard on", "set -g allow-passthrough on"):
        subprocess.run(["tmux", "-S", tmux, *command.split()])
    assert ask_tmux() == Tmux(clipboard="on", passthrough=True, outer="")
    assert "OSC 52" in copy("x", Terminal(tmux=ask_tmux()), written.append) and len(written) == 1


def test_a_tmux_that_does_not_answer_has_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert ask_tmux() == Tmux()
    assert copy("x", Terminal(tmux=Tmux()), print) == ""


def test_ascii_keeps_every_width() -> None:
    text = "● live ━━─ ↑⏎ „Läufe“ ▀▄█ ⚠ 日本"
    (segment,) = AsciiFilter().apply([Segment(text, Style(bold=True))], Color(0, 0, 0))
    assert segment.text.isascii()
    assert Segment(segment.text).cell_length == Segment(text).cell_length
    assert segment.style == Style(bold=True)


def test_preferences_survive_and_damage_is_no_matter(bas_home: Path) -> None:
    assert preferences.load() == preferences.Prefs()
    stored = preferences.Prefs(theme="bas-light", chart_parts=("masked", "prior"), last_run="x")
    preferences.save(stored)
    assert preferences.load() == stored
    path = bas_home / "config" / "tui.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "chart_log": "yes", "newer": 1}))
    assert preferences.load() == stored
    path.write_text("{")
    assert preferences.load() == preferences.Prefs()


def test_bytes_are_counted_as_they_are_sent() -> None:
    meter = ByteMeter()
    meter.add("abc")
    meter.add("●")
    assert meter.total == 6
    assert meter.rate() > 0
