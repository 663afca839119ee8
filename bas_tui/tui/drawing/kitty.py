"""The kitty graphics protocol with Unicode placeholders: pictures that behave like text.

A picture is sent once under a number and given a size in cells. It appears wherever the placeholder
character stands in the colour that spells the number; two diacritics say which row and column of
the picture a cell shows. So it scrolls, is cut off and covered like any text, also within tmux.
https://sw.kovidgoyal.net/kitty/graphics-protocol/#unicode-placeholders
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache

PLACEHOLDER = "\U0010eeee"
CODE = 1 << 30
"""In `Cells.chars`: no character but a cell of a picture, its row and column in the lower bits."""
CHUNK = 4096
"""Characters of data a sequence may carry."""
_RANGES = """
    305 30d-30e 310 312 33d-33f 346 34a-34c 350-352 357 35b 363-36f 483-487 592-595 597-599 59c-5a1
    5a8-5a9 5ab-5ac 5af 5c4 610-617 657-65b 65d-65e 6d6-6dc 6df-6e2 6e4 6e7-6e8 6eb-6ec 730 732-733
    735-736 73a 73d 73f-741 743 745 747 749-74a 7eb-7f1 7f3 816-819 81b-823 825-827 829-82d 951
    953-954 f82-f83 f86-f87 135d-135f 17dd 193a 1a17 1a75-1a7c 1b6b 1b6d-1b73 1cd0-1cd2 1cda-1cdb
    1ce0 1dc0-1dc1 1dc3-1dc9 1dcb-1dcc 1dd1-1de6 1dfe 20d0-20d1 20d4-20d7 20db-20dc 20e1 20e7 20e9
    20f0 2cef-2cf1 2de0-2dff a66f a67c-a67d a6f0-a6f1 a8e0-a8f1
"""
"""Combining marks above the base without a decomposition, in Unicode 6.0: number 0 and up."""


def _marks() -> Iterator[str]:
    for word in _RANGES.split():
        first, _, last = word.partition("-")
        yield from map(chr, range(int(first, 16), int(last or first, 16) + 1))


MARKS = "".join(_marks())
MOST_CELLS = len(MARKS)
"""A picture has at most so many rows, and columns."""
_CLUSTER = re.compile(f"{PLACEHOLDER}[{MARKS}]*|.", re.DOTALL)


@cache
def text_of(code: int) -> str:
    """The characters of a code, one cell wide."""
    if not code & CODE:
        return chr(code)
    return PLACEHOLDER + MARKS[code >> 10 & 1023] + MARKS[code & 1023]


def clusters(text: str) -> list[str]:
    """A text cell by cell, where all its characters are one cell wide."""
    return _CLUSTER.findall(text) if PLACEHOLDER in text else list(text)


def transmission(number: int, png: bytes, columns: int, rows: int) -> list[str]:
    """The sequences that send a picture and give it a size; the terminal does not answer."""
    data = base64.standard_b64encode(png).decode("ascii")
    parts = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    head = f"a=T,U=1,f=100,t=d,q=2,i={number},c={columns},r={rows}"
    sequences: list[str] = []
    for index, part in enumerate(parts):
        more = int(index < len(parts) - 1)
        keys = f"{head},m={more}" if index == 0 else f"q=2,m={more}"
        sequences.append(f"\x1b_G{keys};{part}\x1b\\")
    return sequences


def removal(number: int) -> str:
    """The sequence that frees a picture."""
    return f"\x1b_Ga=d,d=I,q=2,i={number}\x1b\\"
