"""The losses of the method as pure functions of tensors; each returns one value per sample.

Shape legend: B batch, C latent channels, H and W latent size, K placeholder slots of a prompt
(padded to a fixed number), Q query positions of the attention grid (grid * grid).
"""

from __future__ import annotations

from math import comb

import torch

SHARE_MARGIN = 1e-4
"""Shares of attention are kept this far from 0 and 1."""


def masked_diffusion_loss(
    prediction_BCHW: torch.Tensor,
    target_BCHW: torch.Tensor,
    mask_B1HW: torch.Tensor,
    *,
    divide_by_area: bool = False,
) -> torch.Tensor:
    """Masked diffusion loss (paper, equation 1): squared error inside the union mask; (B,).

    The mean runs over all latent positions, as in the released script, so a small mask weighs
    little; `divide_by_area` divides by the mask's share of the picture. A mask that is not binary
    multiplies before the square: it holds the roots of the cells' weights (`weights_of`).
    """
    error_BCHW = (prediction_BCHW * mask_B1HW - target_BCHW * mask_B1HW) ** 2
    loss_B = error_BCHW.mean(dim=(1, 2, 3))
    if divide_by_area:
        # One latent position is the smallest area a mask can have.
        smallest = 1 / mask_B1HW[0].numel()
        loss_B = loss_B / (mask_B1HW**2).mean(dim=(1, 2, 3)).clamp_min(smallest)
    return loss_B


def weights_of(masks_KHW: torch.Tensor) -> torch.Tensor:
    """Weights of the masked loss for the union of masks of 0..1; (1, H, W)."""
    return masks_KHW.amax(0, keepdim=True)


def balanced_weights(masks_KHW: torch.Tensor, area: float) -> torch.Tensor:
    """Weights with which every concept counts the same, however small it is; (1, H, W).

    `mean(weights * error) = area / K * sum_i (sum_q M_i error / sum_q M_i)`: the mean of the
    concepts' own mean errors, times `area` (the usual union's share of the picture) so that the
    loss keeps its size against its other parts and the gradient clip. Each mask holds something.
    """
    cells = masks_KHW[0].numel()
    shares_KHW = masks_KHW / masks_KHW.sum((1, 2), keepdim=True)
    return area * cells * shares_KHW.mean(0, keepdim=True)


def expected_union_area(masks_NHW: torch.Tensor, *, union: bool = True) -> float:
    """Mean share of the picture that the union of a sampled subset covers (`sample_subset`).

    A cell that m of N masks cover is in the union of k of them with probability
    1 - C(N - m, k) / C(N, k); k is uniform in 1..N, or always 1 without union sampling.
    """
    count = len(masks_NHW)
    sizes = range(1, count + 1) if union else (1,)
    covered = [
        sum(1 - comb(count - m, k) / comb(count, k) for k in sizes) / len(sizes)
        for m in range(count + 1)
    ]
    often_HW = torch.tensor(covered, dtype=masks_NHW.dtype)[(masks_NHW > 0).sum(0)]
    return float((often_HW * masks_NHW.amax(0)).mean())


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


def competing_attention_loss(
    maps_BKQ: torch.Tensor,
    rest_BQ: torch.Tensor,
    masks_BKQ: torch.Tensor,
    valid_BK: torch.Tensor,
) -> torch.Tensor:
    """Each map's share among all of the prompt's words against its mask, as a probability; (B,).

    Cross entropy of `p_i = A_i / (sum_j A_j + rest)` and the mask, averaged over the grid and
    summed over the `valid` concepts (after PartCraft, arXiv 2407.04604). Unlike equation 2 it sees
    how much a token attends at all, and a rival that attends to its place. `rest_BQ` is the
    attention to the prompt's other words, the class of cells that belong to no concept.
    """
    owned_BKQ = maps_BKQ * valid_BK[..., None]
    total_B1Q = (owned_BKQ.sum(1) + rest_BQ)[:, None]
    share_BKQ = owned_BKQ / total_B1Q.clamp_min(torch.finfo(maps_BKQ.dtype).tiny)
    # Away from 0 and 1, where the logarithm's slope would take over the gradient.
    share_BKQ = share_BKQ.clamp(SHARE_MARGIN, 1 - SHARE_MARGIN)
    entropy_BKQ = masks_BKQ * share_BKQ.log() + (1 - masks_BKQ) * (1 - share_BKQ).log()
    return -(entropy_BKQ.mean(dim=-1) * valid_BK).sum(dim=-1)
