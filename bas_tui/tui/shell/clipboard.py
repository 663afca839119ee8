"""Copying through the terminal: OSC 52, wrapped for tmux, with a limit on the size."""

from __future__ import annotations

import base64

from bas_tui.tui.drawing.terminal import Terminal

LIMIT = 74_000
"""Bytes of text; terminals drop longer OSC 52 sequences (xterm and tmux: 100 kB of base64)."""


def osc52(text: str, terminal: Terminal) -> str | None:
    """The sequence that copies `text`, or None when the terminal would not take it.

    Under tmux it is sent twice: as tmux's own (set-clipboard on) and passed through to the outer
    terminal (allow-passthrough on); each setup listens to one of them.
    """
    data = text.encode("utf-8")
    if not terminal.clipboard or len(data) > LIMIT:
        return None
    plain = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    if not terminal.tmux:
        return plain
    return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
