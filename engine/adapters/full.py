"""Full tuning: the weights themselves move (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from engine.core.errors import UserError
from engine.families.contract import Family
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
        self._before: dict[str, torch.Tensor] = {}
        self.trains_words = part == "all"

    def begin(self) -> None:
        """Copy the base weights to main memory."""
        self._before = {
            name: weight.detach().cpu().clone() for name, weight in self._weights.items()
        }

    def parameters(self) -> dict[str, nn.Parameter]:
        """The weights of the part."""
        return dict(self._weights)

    def modules(self) -> Sequence[nn.Module]:
        """None: the family's networks hold everything."""
        return ()

    def hold(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Weights of the family outside the part; the change of any of them can be written."""
        foreign = [name for name in names if name not in self._all]
        if foreign:
            raise other_change(foreign[0])
        held = {name: self._all[name] for name in names if name not in self._weights}
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
