"""Cross-attention maps of tokens as pure functions.

Shape legend: B batch, H heads, Q query positions (grid * grid), K placeholder slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class MapScores(NamedTuple):
    """How well maps fit masks; both (K,)."""

    iou: torch.Tensor
    """Intersection over union of `map > half of its maximum` and the mask, 0..1."""
    leak: torch.Tensor
    """Share of the attention mass outside the mask, 0..1."""


def average_maps(recorded: Sequence[torch.Tensor]) -> torch.Tensor:
    """CA of the paper (section 3.2): mean over layers and heads; list of (B, H, Q, K) -> (B, K, Q).

    Every head counts the same, also where layers have different numbers of heads.
    """
    return torch.cat([probs_BHQK.float() for probs_BHQK in recorded], dim=1).mean(1).transpose(1, 2)


def score_maps(maps_KQ: torch.Tensor, masks_KQ: torch.Tensor) -> MapScores:
    """IoU and leak of each map against its mask (masks are taken as on above one half)."""
    inside_KQ = masks_KQ > 0.5
    hot_KQ = maps_KQ > maps_KQ.amax(dim=-1, keepdim=True) / 2
    union_K = (hot_KQ | inside_KQ).sum(-1).clamp_min(1)
    iou_K = (hot_KQ & inside_KQ).sum(-1) / union_K
    mass_K = maps_KQ.sum(-1).clamp_min(torch.finfo(maps_KQ.dtype).tiny)
    return MapScores(iou_K, (maps_KQ * ~inside_KQ).sum(-1) / mass_K)


def to_uint8(maps_KQ: torch.Tensor) -> torch.Tensor:
    """Maps divided by their own maximum, as uint8 for the wire; (K, Q)."""
    peak_K1 = maps_KQ.amax(dim=-1, keepdim=True).clamp_min(torch.finfo(maps_KQ.dtype).tiny)
    return (maps_KQ / peak_K1 * 255).round().to(torch.uint8)
