"""What tmux lets through to the terminal around it: asked of tmux itself, not of the terminal."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

ASK_SECONDS = 1.0
_FORMAT = "#{set-clipboard}\t#{allow-passthrough}\t#{client_termtype}\t#{client_termname}"


@dataclass(frozen=True, kw_only=True)
class Tmux:
    """Options of the tmux around the application; the defaults are tmux's own."""

    clipboard: str = "external"
    """`set-clipboard`: on takes OSC 52 of applications, external only tmux's own copies."""
    passthrough: bool = False
    """`allow-passthrough`: whether wrapped sequences reach the outer terminal."""
    outer: str = ""
    """The outer terminal as it calls itself, such as `kitty(0.38.1)`, else its TERM; or empty."""


def ask_tmux() -> Tmux:
    """The options of the tmux that this process runs in; its defaults where it does not answer."""
    try:
        answer = subprocess.run(
            ["tmux", "display-message", "-p", _FORMAT],
            capture_output=True, text=True, timeout=ASK_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return Tmux()
    words = answer.stdout.rstrip("\n").split("\t")
    if answer.returncode != 0 or len(words) != 4:
        return Tmux()
    clipboard, passthrough, kind, name = words
    return Tmux(
        clipboard=clipboard or "external",
        passthrough=passthrough in ("1", "on", "2", "all"),
        outer=kind or name,
    )


def load_buffer(text: str) -> bool:
    """Put a text into tmux's buffer, and ask tmux to hand it to the outer clipboard; if it did."""
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode(), capture_output=True, timeout=ASK_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def wrapped(sequence: str) -> str:
    """A sequence for the outer terminal, as tmux passes it through."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
