"""Which graphics protocol the terminal has: by what it says of itself, and by one short question.

The question is asked only outside the application, waits for a moment, and ends with the one that
every terminal answers (DA1), so that nothing of it arrives later as if it were typed.
"""

from __future__ import annotations

import os
import re
import select
import termios
import time
import tty
from collections.abc import Mapping
from typing import Literal, NamedTuple

from bas_tui.tui.drawing.tmux import Tmux

Protocol = Literal["kitty", "iterm", "sixel", ""]
ANSWER_SECONDS = 0.5
PLACEHOLDERS_SINCE = (0, 28)
"""Version of kitty."""
_QUESTION = b"\x1b[>q\x1b[c"
_DEVICE = re.compile(rb"\x1b\[\?([\d;]*)c")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_SIXEL = "4"
"""Among the attributes of DA1."""


class Answer(NamedTuple):
    """What a terminal said."""

    name: str = ""
    """As it calls itself, such as `kitty(0.38.1)` or `WezTerm 20240203`."""
    attributes: tuple[str, ...] = ()
    """Of DA1."""

    @property
    def protocol(self) -> Protocol:
        """The best protocol that follows."""
        if _has_placeholders(self.name):
            return "kitty"
        if self.name.lower().startswith(("iterm2", "wezterm")):
            return "iterm"
        return "sixel" if _SIXEL in self.attributes else ""


def known_protocol(environ: Mapping[str, str], tmux: Tmux | None) -> Protocol:
    """What the environment surely says; `kitty` means its protocol with placeholders.

    Inside tmux only placeholders reach the screen rightly, and only where it passes them through.
    """
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if tmux is not None:
        return "kitty" if tmux.passthrough and _has_placeholders(tmux.outer) else ""
    if term.startswith(("screen", "tmux")) or term in ("dumb", "linux"):
        return ""
    if term == "xterm-ghostty" or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm"):
        return "iterm"
    return "sixel" if term.startswith(("foot", "contour", "mlterm")) else ""


def may_be_kitty(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is a kitty, whose version only it can tell."""
    return not environ.get("TMUX") and environ.get("TERM") == "xterm-kitty"


def ask(seconds: float = ANSWER_SECONDS) -> Answer:
    """Ask the controlling terminal for its name and attributes; empty where it does not answer."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return Answer()
    try:
        return _ask(terminal, seconds)
    except (OSError, termios.error):
        return Answer()
    finally:
        os.close(terminal)


def _ask(terminal: int, seconds: float) -> Answer:
    # In the background a change of modes would stop the whole program.
    if os.tcgetpgrp(terminal) != os.getpgrp():
        return Answer()
    before = termios.tcgetattr(terminal)
    heard = b""
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(terminal, _QUESTION)
        end = time.monotonic() + seconds
        while _DEVICE.search(heard) is None and (left := end - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                heard += os.read(terminal, 1024)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    name, device = _NAME.search(heard), _DEVICE.search(heard)
    return Answer(
        name.group(1).decode("ascii", "replace") if name else "",
        tuple(device.group(1).decode("ascii").split(";")) if device else (),
    )


def _has_placeholders(name: str) -> bool:
    """Whether a terminal of this name shows pictures at Unicode placeholders."""
    words = name.lower()
    if words.startswith(("ghostty", "xterm-ghostty")):
        return True
    version = re.match(r"kitty\D*(\d+)\.(\d+)", words)
    return version is not None and tuple(map(int, version.groups())) >= PLACEHOLDERS_SINCE
