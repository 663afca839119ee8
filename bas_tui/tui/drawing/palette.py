"""Colours that mean something: one per concept, one scale for attention, one per loss part.

The concept colours are the Okabe-Ito set (distinguishable with every common colour blindness),
reordered so that the first four differ most on a dark background. They do not change with the
theme: a concept keeps its colour in masks, chips, maps and pictures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]


class ConceptColor(NamedTuple):
    """The colour of one concept, with what stands for it where colours are few."""

    name: str
    rgb: Rgb
    xterm: int
    """Index in the 256-colour palette."""
    ansi: int
    """Index in the 16-colour palette; all eight differ."""
    letter: str
    """What ASCII pictures write for the concept."""

    @property
    def hex(self) -> str:
        """`#rrggbb`, as style sheets and Rich styles take it."""
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)

    @property
    def ink(self) -> str:
        """A text colour that is legible on this colour: black or white."""
        red, green, blue = self.rgb
        return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else "#ffffff"


CONCEPT_COLORS = (
    ConceptColor("sky blue", (86, 180, 233), 74, 14, "A"),
    ConceptColor("orange", (230, 159, 0), 178, 3, "B"),
    ConceptColor("bluish green", (0, 158, 115), 36, 2, "C"),
    ConceptColor("reddish purple", (204, 121, 167), 175, 13, "D"),
    ConceptColor("yellow", (240, 228, 66), 227, 11, "E"),
    ConceptColor("vermillion", (213, 94, 0), 166, 9, "F"),
    ConceptColor("blue", (64, 128, 220), 68, 12, "G"),
    ConceptColor("grey", (187, 187, 187), 250, 7, "H"),
)


def concept_color(index: int) -> ConceptColor:
    """The colour of concept `index` (0 and up); the ninth starts again with the first."""
    return CONCEPT_COLORS[index % len(CONCEPT_COLORS)]


LOSS_PART_COLORS: dict[str, Rgb] = {
    "loss": (224, 224, 224),
    "masked": (86, 180, 233),
    "attention": (230, 159, 0),
    "prior": (204, 121, 167),
}
"""Colours of the curves in the loss chart."""

_HEAT_ANCHORS = np.array(
    [
        (4, 4, 16), (40, 11, 84), (101, 21, 110), (159, 42, 99),
        (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164),
    ],
    dtype=np.float64,
)  # fmt: skip


def heat_scale(levels: int) -> NDArray[np.uint8]:
    """Colours of an attention map, dark to bright with growing luminance: (levels, 3) uint8."""
    at = np.linspace(0, len(_HEAT_ANCHORS) - 1, levels)
    anchors = np.arange(len(_HEAT_ANCHORS))
    channels = [np.interp(at, anchors, _HEAT_ANCHORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
