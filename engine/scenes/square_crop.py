"""The square that training needs, cut from a picture of any shape.

Shapes: H, W height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.core.errors import UserError
from engine.scenes.checks import BoolMask, SceneConcept
from engine.scenes.findings import Finding
from engine.scenes.image_files import Pixels


class SquareCrop(NamedTuple):
    """A square part of a picture with the masks cut alike."""

    image: Pixels
    concepts: list[SceneConcept]
    notes: list[str]
    findings: list[Finding]
    """A warning for each mask that lost a part."""


def crop_square(image: Pixels, concepts: list[SceneConcept]) -> SquareCrop:
    """The largest square that holds every mask, else the one that loses least of them.

    Pixels are cut, never padded or scaled. Raises UserError when a mask would be lost entirely.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    if height == width:
        return SquareCrop(image, concepts, [], [])
    along = 1 if width > height else 0
    start = _square_start([concept.mask for concept in concepts], side, along)
    cut = (slice(start, start + side), slice(None))
    rows, columns = cut if along == 0 else cut[::-1]
    lost: list[Finding] = []
    cropped: list[SceneConcept] = []
    for name, mask in concepts:
        part = mask[rows, columns]
        share = 1 - int(part.sum()) / int(mask.sum())
        if not part.any():
            raise UserError(
                f"the things lie too far apart for one square: {name!r} would be lost",
                "crop the picture to a square by hand, or leave a mask out",
            )
        if share > 0:
            lost.append(
                Finding(
                    "warning",
                    f"the square crop loses {max(share, 0.001):.1%} of the mask {name!r}",
                    "crop by hand if that part matters",
                    name,
                )
            )
        cropped.append(SceneConcept(name, np.ascontiguousarray(part)))
    edge = "left" if along == 1 else "top"
    note = f"cropped from {width}x{height} to {side}x{side}, {start} pixels from the {edge}"
    return SquareCrop(np.ascontiguousarray(image[rows, columns]), cropped, [note], lost)


def _square_start(masks: Sequence[BoolMask], side: int, along: int) -> int:
    """First pixel along axis `along` of the square that loses the smallest sum of mask shares.

    Among equals, the one nearest to the middle of the masks' common bounding box.
    """
    length = masks[0].shape[along]
    starts = np.arange(length - side + 1)
    kept = np.zeros(len(starts))
    for mask in masks:
        profile = mask.sum(axis=1 - along)
        sums = np.concatenate([[0], np.cumsum(profile)])
        kept += (sums[starts + side] - sums[starts]) / sums[-1]
    occupied = np.flatnonzero(np.logical_or.reduce([mask.any(axis=1 - along) for mask in masks]))
    middle = (occupied[0] + occupied[-1] + 1) / 2 - side / 2
    best = np.flatnonzero(kept >= kept.max() - 1e-9)
    return int(best[np.argmin(np.abs(best - middle))])
