"""Union sampling (paper, section 3.3): which concepts a training sample shows.

Every draw takes the generator; equal generator states give equal samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def sample_subset(
    concepts: Sequence[int], generator: torch.Generator, *, union: bool = True
) -> tuple[int, ...]:
    """k drawn uniformly from 1..n, then k distinct concepts in random order.

    `union=False` always draws one concept (the ablation "w/o union sampling").
    """
    count = randint(len(concepts), generator) + 1 if union else 1
    order = torch.randperm(len(concepts), generator=generator).tolist()
    return tuple(concepts[index] for index in order[:count])


def randint(high: int, generator: torch.Generator) -> int:
    """A whole number in 0..high-1."""
    return int(torch.randint(high, (1,), generator=generator))


def chance(probability: float, generator: torch.Generator) -> bool:
    """True with the given probability; always draws once, so streams stay aligned."""
    return bool(torch.rand(1, generator=generator).item() < probability)
