"""The low-rank term of a layer (LoRA, arXiv 2106.09685), as its forward hook.

Shape legend: B batch, I inputs, O outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class LowRankTerm:
    """Adds `strength * B A x` to what a linear or convolution layer gives."""

    def __init__(self, a: nn.Parameter, b: nn.Parameter, strength: Callable[[], float]) -> None:
        """`a` (R, I[, h, w]), `b` (O, R[, 1, 1]); `strength` is asked at each use."""
        self.a, self.b, self.strength = a, b, strength

    def __call__(
        self, layer: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor
    ) -> torch.Tensor | None:
        """The layer's new output; None: as it was."""
        strength = self.strength()
        if strength == 0:
            return None
        x, a, b = given[0], self.a, self.b
        if isinstance(layer, nn.Conv2d):
            low = F.conv2d(x, a.to(x.dtype), None, layer.stride, layer.padding)
            change = F.conv2d(low, b.to(x.dtype))
        else:
            change = F.linear(F.linear(x, a.to(x.dtype)), b.to(x.dtype))
        return out + (change if strength == 1 else change * strength)

    def fits(self, x: torch.Tensor) -> bool:
        """Whether `B A x` needs neither a cast nor a factor."""
        return self.a.dtype == x.dtype and self.strength() == 1
