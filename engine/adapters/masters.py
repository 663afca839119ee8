"""Half-precision weights that compute, and the fp32 weights that are trained in their stead.

A step of 2e-6 vanishes in a weight of half precision, so the optimiser moves an fp32 master, which
is rounded into the computing weight after every step (arXiv 1710.03740). Autocast rounds the same
masters to the same weights, once for every use.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

TOGETHER = 64
"""Gradients that are widened at once: few kernels, and the narrow ones are freed soon."""


class Masters:
    """Pairs of a computing weight and its master, by name."""

    def __init__(
        self, computing: Mapping[str, nn.Parameter], masters: Mapping[str, nn.Parameter]
    ) -> None:
        """The names of both are equal, and so are their devices."""
        self.computing, self.parameters = dict(computing), dict(masters)

    def collect(self) -> None:
        """Add the gradients of the computing weights to their masters', and free them."""
        pairs = [
            (weight, self.parameters[name], weight.grad)
            for name, weight in self.computing.items()
            if weight.grad is not None
        ]
        while pairs:
            some, pairs = pairs[:TOGETHER], pairs[TOGETHER:]
            wide = [torch.empty_like(master) for _, master, _ in some]
            torch._foreach_copy_(wide, [narrow for _, _, narrow in some])
            for (weight, master, _), gradient in zip(some, wide, strict=True):
                weight.grad = None
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the computing weights."""
        names = list(self.computing)
        torch._foreach_copy_(
            [self.computing[name] for name in names], [self.parameters[name] for name in names]
        )


def in_half(parameters: Mapping[str, nn.Parameter], dtype: torch.dtype) -> Masters:
    """Copies of `dtype` that compute for these fp32 parameters."""
    halves = {name: nn.Parameter(p.detach().to(dtype)) for name, p in parameters.items()}
    return Masters(halves, parameters)
