"""Full tuning: the weights themselves move (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from engine.adapters.masters import Masters
from engine.core.errors import UserError
from engine.families.contract import Family
from engine.families.placement import place
from engine.families.unet_targets import plain_name
from engine.files.weights_io import load_tensors, save_tensors

FILE = "changes.safetensors"


class FullChange:
    """The weights of a part of the family: all, unet, cross-attention, or none.

    The result holds trained minus base weight in half precision: a change is small, so its own
    half precision is far finer than that of a half-precision weight.
    """

    def __init__(self, family: Family, part: str) -> None:
        self._weights, self._all = family.targets.part(part), family.targets.weights()
        self._device = family.device
        self._before: dict[str, torch.Tensor] = {}
        self._masters: Masters | None = None
        self._held: list[tuple[nn.Parameter, nn.Parameter]] = []
        self._base: dict[str, torch.Tensor] = {}
        """fp32 values of weights that were rounded."""
        self._halved = False
        self.trains_words = part == "all"

    def halve(self, family: Family, dtype: torch.dtype, names: Iterable[str] = ()) -> None:
        """Copy the base weights of the part and of `names` to main memory, then round them all."""
        kept = [*self._weights, *(set(names) & self._all.keys() - self._weights.keys())]
        self._base = {name: _in_memory(self._all[name]) for name in kept}
        self._halved = True
        place(family, family.device, dtype)

    def begin(self) -> None:
        """Copy the base weights to main memory; in half precision, make fp32 ones of them."""
        if not self._halved:
            self._before = {
                name: weight.detach().cpu().clone() for name, weight in self._weights.items()
            }
            return
        masters = {
            name: nn.Parameter(self._base[name].to(self._device, copy=True))
            for name in self._weights
        }
        self._masters = Masters(self._weights, masters)
        self._before = {name: self._base[name] for name in self._weights}

    def parameters(self) -> dict[str, nn.Parameter]:
        """The weights of the part; in half precision, their fp32 masters."""
        if self._masters is None:
            return dict(self._weights)
        return {name: self._masters.parameters[name] for name in self._weights}

    @property
    def computing(self) -> Sequence[nn.Parameter]:
        """The weights of the part, as the networks hold them."""
        return list(self._weights.values())

    def collect(self) -> None:
        """Give the masters their gradients."""
        if self._masters is not None:
            self._masters.collect()

    def publish(self) -> None:
        """Round the masters into the networks; what is held but once, for it moves no more."""
        for weight, master in self._held:
            # One by one: the masters of what moves no more stay in main memory.
            weight.data.copy_(master.data)
        self._held.clear()
        if self._masters is not None:
            self._masters.publish()

    def modules(self) -> Sequence[nn.Module]:
        """None: the family's networks hold everything."""
        return ()

    def hold(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Weights of the family outside the part; the change of any of them can be written."""
        foreign = [name for name in names if name not in self._all]
        if foreign:
            raise other_change(foreign[0])
        held = {name: self._all[name] for name in names if name not in self._weights}
        if self._masters is not None:
            masters = {name: nn.Parameter(self._base[name].clone(), False) for name in held}
            self._before |= {name: self._base[name] for name in held}
            self._held = [(weight, masters[name]) for name, weight in held.items()]
            return masters
        for name, weight in held.items():
            self._before[name] = weight.detach().cpu().clone()
        return held

    def write(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write what has changed since `begin`."""
        changes = {
            name: (weights[name].detach().cpu().float() - before.float()).half()
            for name, before in self._before.items()
        }
        if changes:
            save_tensors(folder / FILE, changes)


def _in_memory(weight: torch.Tensor) -> torch.Tensor:
    return weight.detach().to("cpu", torch.float32, copy=True)


def other_change(name: str) -> UserError:
    """Of a checkpoint of another kind of change than the settings ask for now."""
    return UserError(
        f"the checkpoint trains {name}, these settings do not",
        "resume with the phase2.train it was made with; in phase 2 lora and full tuning cannot "
        "follow each other",
    )


def apply_change(folder: Path, family: Family, strength: float = 1.0) -> None:
    """Add a change to a freshly loaded family, `strength` times; none where the file is missing.

    Raises KeyError or RuntimeError when it does not fit the family.
    """
    if not (folder / FILE).is_file():
        return
    weights = {plain_name(name): weight for name, weight in family.targets.weights().items()}
    with torch.no_grad():
        for name, change in load_tensors(folder / FILE).items():
            weight = weights[plain_name(name)]
            # Unscaled at full strength: one rounding less, and the result as it was trained.
            added = change.to(weight)
            weight.add_(added if strength == 1.0 else added * strength)
