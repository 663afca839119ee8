"""What an adapter is: the weights that phase 2 trains, and their change as a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from engine.families.contract import Family


class Adapter(Protocol):
    """Moves the weights of a family; the token rows are not its business."""

    trains_words: bool
    """Whether the words of the training prompts move too, as they do when the whole text encoder
    is trained (their rows then belong to the result)."""

    def halve(self, family: Family, dtype: torch.dtype, names: Iterable[str] = ()) -> None:
        """Let the family compute in half precision from now on; called before `begin`.

        `names`: weights that a checkpoint holds; their base values are kept, too.
        """
        ...

    def begin(self) -> None:
        """Phase 2 is about to start; until then the model is the base model."""
        ...

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained weights, by name; the same names at every start of a run."""
        ...

    @property
    def computing(self) -> Sequence[nn.Parameter]:
        """The weights that a backward pass has to reach once `begin` was called: the trained ones,
        or, in half precision, those that compute in their stead."""
        ...

    def collect(self) -> None:
        """After a backward pass: give the trained weights their gradients."""
        ...

    def publish(self) -> None:
        """The trained weights have changed: compute with what they are now."""
        ...

    def modules(self) -> Sequence[nn.Module]:
        """Modules of the adapter's own, which no network of the family holds."""
        ...

    def hold(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Weights of these names that an earlier part of the run moved and this one does not.

        Their change is written, too, and so a run may be resumed with another `phase2.train`.
        Called after `begin`, while they still have their base values; raises UserError where that
        cannot be done.
        """
        ...

    def write(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write the change since `begin` into a folder of concepts; nothing before it.

        `weights` are the values to write by the names of `parameters` and of what is held: those
        of now, or copies of those of an earlier step.
        """
        ...
