"""How prompts name several things: one grammar for training, drawing, completion and evaluation.

A base model draws several things only where they are named as in its own captions; tokens that
were trained in one grammar are drawn best in the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Join = Literal["and", "comma"]


def join_names(names: Sequence[str], join: Join = "and") -> str:
    """`and`: "a and b and c", as in the paper; `comma`: "a, b and c", as captions have it."""
    if join == "comma" and len(names) > 2:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return " and ".join(names)


def training_prompt(
    opening: str, names: Sequence[str], join: Join = "and", ending: str = ""
) -> str:
    """`a photo of <asset2> and <asset0>`, and what `ending` says of the ground."""
    return " ".join(part for part in (opening, join_names(names, join), ending) if part)


def anchored(token: str, noun: str) -> str:
    """A token with the noun of its class behind it: `<asset0> cup`; without a noun, the token."""
    return f"{token} {noun}" if noun else token


def noun_phrase(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def ground_phrase(colour: str) -> str:
    """How a plain ground is named: `on a white background`."""
    return f"on {noun_phrase(colour)} background"
