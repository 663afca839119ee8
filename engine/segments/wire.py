"""What a segmenter's process is asked, and what it answers: JSON lines like every other host's.

A picture travels as the path of a .npy file, masks as packed bits.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from engine.core.errors import UserError
from engine.runs.events import Event
from engine.scenes.mask_ops import Mask
from engine.scenes.pixel_box import Box, Point
from engine.segments.contract import Candidate, Click

Ask = Literal["read", "at", "everything", "named"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about one picture."""

    request: str
    picture: Path
    """A .npy file: uint8 (H, W, 3)."""
    segmenter: str
    """As `--segmenter` has it."""
    words_by: str = ""
    """As `--words-by` has it; empty: the segmenter itself."""
    ask: Ask
    """`read` only loads the segmenter and reads the picture, so that the next question is quick."""
    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    words: str = ""

    def line(self) -> str:
        """The question as one JSON line."""
        values = {**vars(self), "picture": str(self.picture)}
        values["clicks"] = [[click.at.x, click.at.y, click.adds] for click in self.clicks]
        return json.dumps(values)

    @classmethod
    def parse(cls, record: dict[str, Any]) -> Question:
        """The question of a JSON object; raises UserError."""
        try:
            values = dict(record)
            clicks = [Click(Point(float(x), float(y)), bool(a)) for x, y, a in values["clicks"]]
            box = values["box"]
            values |= {"picture": Path(values["picture"]), "clicks": tuple(clicks)}
            values["box"] = None if box is None else Box(*(int(v) for v in box))
            if values["ask"] not in get_args(Ask):
                raise ValueError(values["ask"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"incomplete request: {error}", "update bas") from error


@dataclass(frozen=True, kw_only=True)
class Looking(Event):
    """A segmenter's process tells what it does."""

    kind: ClassVar[str] = "looking"
    request: str
    what: str
    """For people: `loading facebook/sam2.1-hiera-tiny`, `reading the photo`."""
    done: int = 0
    total: int = 0
    """0 where the total is unknown."""


@dataclass(frozen=True, kw_only=True)
class MasksFound(Event):
    """Last event of a question: the candidates, best first."""

    kind: ClassVar[str] = "masks_found"
    request: str
    outcome: Literal["finished", "cancelled", "failed"]
    height: int = 0
    width: int = 0
    masks: tuple[str, ...] = ()
    """Of each candidate: height*width bits row by row, deflated, base64."""
    scores: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    message: str = ""
    remedy: str = ""

    def candidates(self) -> list[Candidate]:
        """The answer with its masks unpacked."""
        triples = zip(self.masks, self.scores, self.sources, strict=True)
        shape = self.height, self.width
        return [Candidate(_unpacked(mask, shape), score, by) for mask, score, by in triples]


def found(request: str, candidates: list[Candidate]) -> MasksFound:
    """The event of an answer."""
    shape = candidates[0].mask.shape if candidates else (0, 0)
    return MasksFound(
        request=request,
        outcome="finished",
        height=shape[0],
        width=shape[1],
        masks=tuple(_packed(candidate.mask) for candidate in candidates),
        scores=tuple(float(candidate.score) for candidate in candidates),
        sources=tuple(candidate.source for candidate in candidates),
    )


def _packed(mask: Mask) -> str:
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode("ascii")


def _unpacked(text: str, shape: tuple[int, int]) -> Mask:
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(np.bool_)
