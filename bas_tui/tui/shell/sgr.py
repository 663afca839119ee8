"""Graphic renditions: what an SGR sequence sets, and the shortest way from one to another.

Textual writes every run of equal style as `set everything, text, reset`. On a canvas most runs
share their background and have no attribute, so more than half of those bytes repeat what the
terminal already knows.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

RESET = "\x1b[0m"


class Rendition(NamedTuple):
    """Graphic rendition: attributes and colours as SGR parameters; empty is the default."""

    attributes: str = ""
    foreground: str = ""
    background: str = ""


PLAIN = Rendition()


@lru_cache(4096)
def parse(parameters: str) -> Rendition:
    """The rendition that SGR parameters set when they follow a reset."""
    words = parameters.split(";") if parameters else []
    attributes: list[str] = []
    foreground = background = ""
    index = 0
    while index < len(words):
        word = words[index]
        length = 1
        if word in ("38", "48"):
            length = 5 if words[index + 1 : index + 2] == ["2"] else 3
            color = ";".join(words[index : index + length])
            if word == "38":
                foreground = color
            else:
                background = color
        elif re.fullmatch(r"[39][0-7]", word):
            foreground = word
        elif re.fullmatch(r"4[0-7]|10[0-7]", word):
            background = word
        elif word in ("0", ""):
            attributes.clear()
            foreground = background = ""
        elif word not in ("39", "49"):
            attributes.append(word)
        index += length
    return Rendition(";".join(attributes), foreground, background)


@lru_cache(16384)
def transition(current: Rendition, wanted: Rendition) -> str:
    """The shortest sequence that leads from one rendition to another."""
    if current == wanted:
        return ""
    if wanted == PLAIN:
        return RESET
    if current.attributes and current.attributes != wanted.attributes:
        words = ["0", *filter(None, wanted)]
    else:
        words = [] if current.attributes == wanted.attributes else [wanted.attributes]
        if current.foreground != wanted.foreground:
            words.append(wanted.foreground or "39")
        if current.background != wanted.background:
            words.append(wanted.background or "49")
    return f"\x1b[{';'.join(words)}m"
