"""Where the things of a scene may stand when nobody says it: side by side, in an order of chance.

Shape legend: N concepts, H and W picture size in pixels; masks are bool.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.scenes.cutouts import FULL, Box, Masks, Placing, box_of, cut_off

STEP = 16
"""Things stand up to this part of the side higher or lower than in the scene: on its ground."""


def arrangement(
    masks_NHW: Masks, concepts: Sequence[int], rng: np.random.Generator
) -> tuple[Placing, ...]:
    """New places for some concepts of a scene, the last one in front.

    They stand side by side with gaps of chance, as large as in the scene where they fit. What the
    photo's left or right edge cuts off stays at that edge: its cut is no outline. Places are
    tenths of a percent, so that their written form is exact.
    """
    side = masks_NHW.shape[1]
    boxes = {index: box_of(masks_NHW[index]) for index in concepts}
    total = sum(right - left for _, left, _, right in boxes.values())
    scale = min(1.0, FULL * side / max(total, 1))
    ranks = {index: (_edge(masks_NHW[index], boxes[index]), rng.random()) for index in concepts}
    order = sorted(concepts, key=lambda index: ranks[index])
    gaps = np.sort(rng.random(len(order))) * (side - scale * total)
    placings, before = [], 0.0
    for index, gap in zip(order, gaps, strict=True):
        top, left, bottom, right = boxes[index]
        wide, high = scale * (right - left), scale * (bottom - top)
        edge = ranks[index][0]
        start = {-1: 0.0, 0: before + gap, 1: side - wide}[edge]
        step = side / STEP * rng.uniform(-1, 1)
        foot = bottom if cut_off(masks_NHW[index])[1] else bottom + step
        width = _tenth(wide / side) if scale < 1 else 0.0
        placings.append(
            Placing(
                index, _tenth((start + wide / 2) / side), _tenth((foot - high / 2) / side), width
            )
        )
        before += wide
    return tuple(placings[index] for index in rng.permutation(len(placings)))


def _edge(mask: np.ndarray, box: Box) -> int:
    """-1, 1: cut off by the left, by the right edge; 0: by none of them, or by both."""
    across, _ = cut_off(mask)
    _, left, _, right = box
    return 0 if not across else int(right == mask.shape[1]) - int(left == 0)


def _tenth(share: float) -> float:
    return round(100 * float(min(max(share, 0.0), 1.0)), 1) / 100
