"""Runs the application on this terminal, and leaves the terminal as it was, however it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import termios
import threading
import time
from typing import Any

from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.drawing.graphics import ask, known_protocol, may_be_kitty
from bas_tui.tui.drawing.terminal import Terminal, detect, sharpest_blocks
from bas_tui.tui.drawing.tmux import ask_tmux
from bas_tui.tui.shell.picture_style import PIXELS

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS = 2.0
"""How long the application may take to leave after a signal before it is cut short."""
RESTORE = (
    "\x1b[<u"  # the kitty keyboard protocol that Textual switched on
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"  # the mouse
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # focus, bracketed paste, resizes in band
    "\x1b[?7h\x1b[?1049l\x1b[?25h\x1b[0m"  # line wrap, the normal screen, the cursor, colours
)


def run(
    screen: str = "runs",
    *,
    low_bandwidth: bool | None = None,
    color: str = "auto",
    images: str = "auto",
    **arguments: Any,
) -> int:
    """Run the application until the person leaves; the exit code.

    `screen` is one of `bas_tui.tui.screens`; `arguments` go to its `open`, those that are None are
    left out. `low_bandwidth` None means: yes under SSH. `color` is auto, truecolor, 256, 16 or
    none; `images` is auto, blocks, kitty, or a kind of blocks. A hang-up, SIGTERM and SIGINT close
    it as `q` does, with the exit code 128 + signal.
    """
    terminal = detect(color, low_bandwidth)
    if terminal.tmux is not None:
        tmux = ask_tmux()
        blocks = sharpest_blocks(os.environ, tmux.outer)
        terminal = dataclasses.replace(terminal, tmux=tmux, sharpest=blocks)
    terminal = dataclasses.replace(terminal, graphics=_has_graphics(terminal, images))
    named = {name: value for name, value in arguments.items() if value is not None}
    style = {"auto": "", "blocks": "", "none": "", "kitty": PIXELS}.get(images, images)
    app = BasApp(Start(screen=screen, arguments=named, images=style), terminal=terminal)
    result = asyncio.run(_run_until_left(app))
    if app.copier.unprinted:
        print(app.copier.unprinted)
    return app.return_code or result or 0


def _has_graphics(terminal: Terminal, images: str) -> bool:
    """Whether pictures may be real pixels: wanted, or surely there, which a kitty is asked for."""
    if images != "auto":
        return images == "kitty"
    if known_protocol(os.environ, terminal.tmux) == "kitty":
        return True
    return may_be_kitty(os.environ) and ask().protocol == "kitty"


async def _run_until_left(app: BasApp) -> int | None:
    loop = asyncio.get_running_loop()
    modes = _modes()

    def leave(number: int) -> None:
        app.exit(return_code=128 + number)
        # A terminal that is gone may block the way out, and nobody would ever look at it.
        threading.Thread(target=_cut_short, args=(number, modes), daemon=True).start()

    for number in SIGNALS:
        loop.add_signal_handler(number, leave, number)
    return await app.run_async()


def _modes() -> list[Any] | None:
    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, OSError, ValueError):
        return None


def _cut_short(number: int, modes: list[Any] | None) -> None:
    time.sleep(PATIENCE_SECONDS)
    try:
        os.write(2, RESTORE.encode())
        if modes is not None:
            termios.tcsetattr(0, termios.TCSANOW, modes)
    except (OSError, termios.error):
        pass
    os._exit(128 + number)
