"""Copying through the terminal: OSC 52 and tmux's buffer. Nobody answers, so say what was tried."""

from __future__ import annotations

import base64
from collections.abc import Callable

from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.drawing.tmux import load_buffer, wrapped

LIMIT = 74_000
"""Bytes of text; terminals drop longer OSC 52 sequences (xterm and tmux: 100 kB of base64)."""


def osc52(text: str, terminal: Terminal) -> str:
    """The sequence that asks the terminal to copy `text`; empty where none would arrive.

    Under tmux it is sent as tmux's own where that takes it (`set-clipboard on`), and passed through
    to the outer terminal where that is allowed.
    """
    data = text.encode("utf-8")
    if not terminal.clipboard or len(data) > LIMIT:
        return ""
    plain = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    tmux = terminal.tmux
    if tmux is None:
        return plain
    own = plain if tmux.clipboard == "on" else ""
    return own + (wrapped(plain) if tmux.passthrough else "")


def copy(text: str, terminal: Terminal, write: Callable[[str], object]) -> str:
    """Try everything; what was tried, in words - empty where nothing could be.

    May wait a moment for tmux: call it off the event loop.
    """
    tried: list[str] = []
    tmux = terminal.tmux
    if tmux is not None and load_buffer(text):
        tried.append("put into tmux's buffer (prefix ] pastes it)")
        if terminal.clipboard and tmux.clipboard == "external":
            tried.append("offered to the clipboard by tmux")
    if sequence := osc52(text, terminal):
        write(sequence)
        tried.append("sent to the clipboard (OSC 52)")
    return " and ".join(tried)
