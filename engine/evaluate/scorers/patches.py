"""Features of a cut-out thing, place by place, for `matching.max_cosine`.

Shape legend: G side of the grid of places, Q places inside the thing, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from engine.evaluate.scorers.backbone import BATCH, SIDE, Backbone
from engine.evaluate.scorers.base import Pixels
from engine.evaluate.scorers.regions import Mask, cut, cut_mask

PLACES = 16
"""Side of the grid; a finer one separates things no better and costs sixteen times as much."""


def thing_patches(
    backbone: Backbone, pictures: Sequence[Pixels], masks: Sequence[Mask]
) -> list[torch.Tensor]:
    """Unit features of each masked thing at one scale on grey, (Q, D) each.

    A place counts where the thing covers more than half of it; a thing thinner than that
    everywhere keeps the place that it covers most.
    """
    pairs = list(zip(pictures, masks, strict=True))
    found: list[torch.Tensor] = []
    for start in range(0, len(pairs), BATCH):
        found += _batch_patches(backbone, pairs[start : start + BATCH])
    return found


def _batch_patches(backbone: Backbone, pairs: Sequence[tuple[Pixels, Mask]]) -> list[torch.Tensor]:
    cuts = [cut(picture, mask, SIDE) for picture, mask in pairs]
    # Enlarged twice, the network told composites apart no better, at more than twice the work.
    local_BDGG = backbone.local_features(cuts, enlarged=1)
    local_BQD = F.adaptive_avg_pool2d(local_BDGG, PLACES).flatten(2).transpose(1, 2)
    inside = np.stack([cut_mask(mask, SIDE) for _, mask in pairs])
    covered_BQ = F.adaptive_avg_pool2d(torch.from_numpy(inside).float()[:, None], PLACES).flatten(1)
    return [
        F.normalize(local_QD[covered_Q >= min(0.5, float(covered_Q.max()))], dim=1)
        for local_QD, covered_Q in zip(local_BQD, covered_BQ, strict=True)
    ]
