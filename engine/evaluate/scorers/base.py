"""The Protocol of every scorer, and what scorers are asked and answer.

Shapes: N concepts, H and W the scene's size, h and w a picture's own size. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

PROMPT, IDENTITY, COPY = "prompt", "identity", "copy"
"""The axes: prompt similarity, identity similarity, nearness to the input scene."""

WHOLE = -1
"""The `concept` of a measure that concerns the whole picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneView:
    """The input scene as scorers see it."""

    image: Pixels
    """(H, W, 3)."""
    masks: npt.NDArray[np.bool_]
    """(N, H, W)."""
    words: tuple[str, ...]
    """Class word of each concept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One generated picture and what it was asked to show."""

    picture: Pixels
    """(h, w, 3)."""
    subset: tuple[int, ...]
    """Concepts that the prompt names, in its order."""
    prompt: str
    """The prompt with every token replaced by its class word."""
    place: str
    """What of the prompt is not a concept, as the suite names it."""


class Measure(NamedTuple):
    """One number about one picture."""

    axis: str
    concept: int
    """Index of the concept, or WHOLE."""
    value: float
    """Larger is nearer; 0 where the concept was not found (the declared rule)."""
    found: bool = True


class Scorer(Protocol):
    """Measures pictures against their scene and prompt. Equal pictures give equal measures."""

    name: str
    version: str
    """What the numbers depend on: weights and rules. Other versions do not compare."""

    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """The measures of each shot, in order."""
        ...
