"""Choosing among masks: agreement, tidying, no answer twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from engine.scenes.mask_ops import Mask, fill_holes, keep_largest
from engine.segments.contract import Candidate

SAME = 0.9
"""Masks of a larger intersection over union are one answer."""


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union; 0 where both are empty."""
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 0.0


def tidy(mask: Mask, *, pieces: bool = False) -> Mask:
    """The largest piece (or all, with `pieces`) without holes, its edge smoothed by a pixel."""
    if not mask.any():
        return mask
    kept = fill_holes(mask if pieces else keep_largest(mask))
    soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 1.0)
    smooth = np.asarray(soft) > 0.5
    return smooth if smooth.any() else kept


def distinct(candidates: Iterable[Candidate], taken: Sequence[Mask] = ()) -> list[Candidate]:
    """Those that no earlier one, and no mask of `taken`, is nearly equal to; the order stays."""
    kept: list[Candidate] = []
    for candidate in candidates:
        others = [*taken, *(other.mask for other in kept)]
        if candidate.mask.any() and all(iou(candidate.mask, other) < SAME for other in others):
            kept.append(candidate)
    return kept
