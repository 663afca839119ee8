"""What finds masks: a `Segmenter` reads a picture once, then answers clicks, boxes and words.

Shapes: HxW at the picture's size; true where the thing is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from engine.core.errors import BasError
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import Box, Point

Report = Callable[[int, int], None]
"""Told how much of how much is done; what it raises ends the work."""


class Click(NamedTuple):
    """A place that belongs to the thing, or, with `adds` false, one that does not."""

    at: Point
    adds: bool = True


class Candidate(NamedTuple):
    """A mask that may be meant."""

    mask: Mask
    score: float
    """0..1, how sure the finder is; comparable within one answer only."""
    source: str
    """What found it, in a word for people."""


class Cancelled(BasError):
    """The person wants no answer any more."""

    def __init__(self) -> None:
        super().__init__("cancelled", "")


class ReadPicture(Protocol):
    """A picture that a segmenter has read."""

    def at(self, clicks: Sequence[Click] = (), box: Box | None = None) -> list[Candidate]:
        """Masks of the thing under the clicks, within the box, or both; best first.

        Raises UserError where nothing is found.
        """
        ...

    def everything(self, report: Report | None = None) -> list[Candidate]:
        """Masks of all that may be a thing, best first; no two of them nearly equal."""
        ...

    def named(self, words: str) -> list[Candidate]:
        """Masks of what the words name, best first; UserError where words are not understood."""
        ...


class Segmenter(Protocol):
    """A way to find masks."""

    @property
    def name(self) -> str:
        """As `--segmenter` names it."""
        ...

    @property
    def reads_words(self) -> bool:
        """Whether `named` can answer."""
        ...

    def read(self, image: Picture) -> ReadPicture:
        """Do once what every question about a picture needs."""
        ...
