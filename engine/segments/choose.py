"""Which segmenter a name means."""

from __future__ import annotations

from engine.core.errors import UserError
from engine.segments.contract import Segmenter
from engine.segments.embedded import Embedded


def segmenter_of(name: str) -> Segmenter:
    """The segmenter; raises UserError for a name that is none."""
    if name != Embedded.name:
        raise UserError(f"there is no segmenter {name!r}", f"the one there is: {Embedded.name}")
    return Embedded()
