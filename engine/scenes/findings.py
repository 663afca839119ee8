"""What a reader or a check has to say about a person's files."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong or odd, in one line, with what to do about it."""

    level: Literal["error", "warning"]
    message: str
    remedy: str
    concept: str = ""
    """The concept it concerns; empty: the scene."""
    kind: Literal["", "inverted"] = ""
    """`inverted`: a person has to say whether the mask is meant as it is."""
