"""How many pixels a character cell has."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

CELL = (8, 16)
"""Width and height where the terminal does not say; too small rather than too large."""


def cell_size() -> tuple[int, int]:
    """Width and height as the kernel knows them from the terminal (TIOCGWINSZ); CELL where not."""
    for number in (1, 2, 0):
        if not os.isatty(number):
            continue
        try:
            answer = fcntl.ioctl(number, termios.TIOCGWINSZ, bytes(8))
        except OSError:
            continue
        rows, columns, width, height = struct.unpack("4H", answer)
        if rows and columns and width and height:
            return max(1, width // columns), max(1, height // rows)
    return CELL
