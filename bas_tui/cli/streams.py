"""What this process talks through: closed streams are mended, terminals are told from others."""

from __future__ import annotations

import os
import sys


def mend() -> None:
    """Put /dev/null where stdin, stdout or stderr was closed (`bas <&-`).

    Else the next file that is opened, a run's log say, would take the free number and get what is
    printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def dumb() -> bool:
    """Whether the terminal, if there is one, obeys no escape sequences."""
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")


def live(number: int) -> bool:
    """Whether stream `number` (0, 1, 2) is a terminal that can be drawn on."""
    try:
        return os.isatty(number) and not dumb()
    except OSError:
        return False
