"""A weight's change as a product of two thin matrices, and what that keeps of it.

Shape legend: O outputs, I inputs, K kernel size, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

SMALL = 128
"""Matrices up to this side are decomposed exactly; beyond it, the quick way is as good."""
OVERSAMPLING = 16
ITERATIONS = 4
RANKS = (4, 8, 16, 32, 64, 128)
GOOD_SHARE = 0.95
"""What `auto` wants to keep of the change."""


class LowRank(NamedTuple):
    """A change of a linear layer or a convolution: `up @ down`, strength 1."""

    down: torch.Tensor
    """(R, I) or (R, I, K, K)."""
    up: torch.Tensor
    """(O, R) or (O, R, 1, 1)."""

    @property
    def rank(self) -> int:
        """R."""
        return len(self.down)

    def product(self) -> torch.Tensor:
        """The change (O, I) or (O, I, K, K), float32."""
        flat_OI = self.up.flatten(1).float() @ self.down.flatten(1).float()
        return flat_OI.reshape(len(self.up), *self.down.shape[1:])

    def cut(self, rank: int) -> LowRank:
        """The strongest `rank` directions only."""
        return LowRank(self.down[:rank].contiguous(), self.up[:, :rank].contiguous())


class Factored(NamedTuple):
    """A change's strongest directions, ordered, with the energy in each."""

    factors: LowRank
    energies: tuple[float, ...]
    """Squared singular values of the directions kept, largest first."""
    total: float
    """Squared Frobenius norm of the change."""


def factor(change: torch.Tensor, rank: int) -> Factored:
    """The best product of rank `rank` for a change (O, I) or (O, I, K, K), by its SVD.

    Both factors carry the root of the singular values, so that half precision suits both. No value
    is clamped: cutting the largest ones off, as some extractors do, changes the picture. A rank
    beyond the matrix' own is cut. The result depends on the change alone.
    """
    flat_ON = change.float().flatten(1)
    rank = min(rank, *flat_ON.shape)
    if min(flat_ON.shape) <= max(SMALL, rank + OVERSAMPLING):
        left_OR, strength_R, right_RN = torch.linalg.svd(flat_ON, full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            left_OR, strength_R, right_NR = torch.svd_lowrank(
                flat_ON, q=rank + OVERSAMPLING, niter=ITERATIONS
            )
        right_RN = right_NR.T
    root_R = strength_R[:rank].sqrt()
    up_OR = left_OR[:, :rank] * root_R
    down_RN = root_R[:, None] * right_RN[:rank]
    ones = (1,) * (change.ndim - 2)
    return Factored(
        LowRank(
            down_RN.reshape(rank, *change.shape[1:]).contiguous(),
            up_OR.reshape(*up_OR.shape, *ones).contiguous(),
        ),
        tuple(float(value) for value in strength_R[:rank].double() ** 2),
        float(flat_ON.double().square().sum()),
    )


def energy_kept(parts: Sequence[Factored], rank: int) -> float:
    """The share of the squared change that rank `rank` keeps in all parts together, 0..1."""
    total = sum(part.total for part in parts)
    kept = sum(sum(part.energies[:rank]) for part in parts)
    return kept / total if total else 1.0


def smallest_good_rank(parts: Sequence[Factored]) -> int:
    """The smallest of `RANKS` from 8 on that keeps `GOOD_SHARE`; the largest where none does."""
    return next((rank for rank in RANKS[1:] if energy_kept(parts, rank) >= GOOD_SHARE), RANKS[-1])
