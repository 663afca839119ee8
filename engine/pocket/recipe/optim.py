"""What both trainings share: learning-rate schedule, averaged weights, clock."""

import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence

import torch

STATES = ("step", "exp_avg", "exp_avg_sq")
"""What optimisers keep for a weight: AdamW all of them, Muon its momentum."""


def schedule(step: int, *, rate: float, warmup: int, decay_from: int, decay_steps: int) -> float:
    """Learning rate at a step: linear warm-up, flat, then a linear decay to 2 % of ``rate``.

    Args:
        decay_from: first step of the decay; negative: no decay yet.
    """
    if step < warmup:
        return rate * (step + 1) / warmup
    if decay_from < 0 or step < decay_from:
        return rate
    left = max(0.0, 1 - (step - decay_from) / max(1, decay_steps))
    return rate * (0.02 + 0.98 * left)


class Average:
    """Exponential moving average of weights, with a start that forgets the first steps quickly."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], horizon: float):
        self.live = list(parameters)
        self.values = [p.detach().clone() for p in self.live]
        self.horizon = horizon

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the live weights after optimiser step ``step`` (from 0)."""
        keep = min(self.horizon, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.live], 1 - keep)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights (call again to change back)."""
        for parameter, value in zip(self.live, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


def pack(
    names: Sequence[str],
    parameters: Sequence[torch.nn.Parameter],
    states: Mapping[torch.Tensor, Mapping[str, torch.Tensor]],
    average: Average,
) -> dict[str, torch.Tensor]:
    """Weights, averages and optimiser states under flat names, for ``checkpoint.save``."""
    tensors = {}
    for name, parameter, value in zip(names, parameters, average.values, strict=True):
        tensors[f"live.{name}"] = parameter
        tensors[f"mean.{name}"] = value
        for key, tensor in states.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = tensor
    return tensors


@torch.no_grad()
def unpack(
    tensors: dict[str, torch.Tensor],
    names: Sequence[str],
    parameters: Sequence[torch.nn.Parameter],
    states: MutableMapping[torch.Tensor, dict[str, torch.Tensor]],
    average: Average,
) -> None:
    """Put back what ``pack`` wrote."""
    for name, parameter, value in zip(names, parameters, average.values, strict=True):
        parameter.copy_(tensors[f"live.{name}"])
        value.copy_(tensors[f"mean.{name}"])
        kept = {key: f"{key}.{name}" for key in STATES if f"{key}.{name}" in tensors}
        if kept:
            states[parameter] = {
                key: tensors[path].to(parameter.device, copy=True) for key, path in kept.items()
            }


class Deadline:
    """Tells when a piece of the build has used its minutes."""

    def __init__(self, minutes: float):
        self.start = time.monotonic()
        self.minutes = minutes

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def passed(self) -> bool:
        """Whether the time is over."""
        return self.seconds() > 60 * self.minutes
