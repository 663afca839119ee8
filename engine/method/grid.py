"""Masks as tensors.

Shape legend: N concepts, H and W picture size, S side of the target grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def resize_masks(masks_NHW: torch.Tensor, side: int) -> torch.Tensor:
    """Masks on a smaller square grid, nearest as in the released script; (N, S, S).

    A mask that nearest sampling would erase is max-pooled instead, so a thin or small concept
    keeps at least the cells it touches.
    """
    nearest_NSS = F.interpolate(masks_NHW[:, None], size=(side, side), mode="nearest")[:, 0]
    pooled_NSS = F.adaptive_max_pool2d(masks_NHW, (side, side))
    erased_N11 = (nearest_NSS.amax(dim=(1, 2)) == 0)[:, None, None]
    return torch.where(erased_N11, pooled_NSS, nearest_NSS)
