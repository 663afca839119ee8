"""The losses of the method as pure functions of tensors; each returns one value per sample.

Shape legend: B batch, C latent channels, H and W latent size, K placeholder slots of a prompt
(padded to a fixed number), Q query positions of the attention grid (grid * grid).
"""

from __future__ import annotations

import torch


def masked_diffusion_loss(
    prediction_BCHW: torch.Tensor,
    target_BCHW: torch.Tensor,
    mask_B1HW: torch.Tensor,
    *,
    divide_by_area: bool = False,
) -> torch.Tensor:
    """Masked diffusion loss (paper, equation 1): squared error inside the union mask; (B,).

    The mean runs over all latent positions, as in the released script, so a small mask weighs
    little; `divide_by_area` divides by the mask's share of the picture.
    """
    error_BCHW = (prediction_BCHW * mask_B1HW - target_BCHW * mask_B1HW) ** 2
    loss_B = error_BCHW.mean(dim=(1, 2, 3))
    if divide_by_area:
        # One latent position is the smallest area a mask can have.
        smallest = 1 / mask_B1HW[0].numel()
        loss_B = loss_B / mask_B1HW.mean(dim=(1, 2, 3)).clamp_min(smallest)
    return loss_B


def diffusion_loss(prediction_BCHW: torch.Tensor, target_BCHW: torch.Tensor) -> torch.Tensor:
    """Plain diffusion loss: mean squared error over the whole picture; (B,)."""
    return ((prediction_BCHW - target_BCHW) ** 2).mean(dim=(1, 2, 3))


def attention_loss(
    maps_BKQ: torch.Tensor, masks_BKQ: torch.Tensor, valid_BK: torch.Tensor
) -> torch.Tensor:
    """Cross-attention loss (paper, equation 2): each map against its mask; (B,).

    Each map is divided by its own maximum; the squared error is averaged over the grid and summed
    over the concepts that are `valid` (1 where slot K of sample B holds a concept, else 0).
    """
    peak_BK1 = maps_BKQ.amax(dim=-1, keepdim=True)
    # An empty slot's map is all zero: keep its quotient finite, `valid` drops it from the sum.
    scaled_BKQ = maps_BKQ / peak_BK1.clamp_min(torch.finfo(maps_BKQ.dtype).tiny)
    error_BK = ((scaled_BKQ - masks_BKQ) ** 2).mean(dim=-1)
    return (error_BK * valid_BK).sum(dim=-1)
