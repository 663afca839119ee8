"""What an adapter is: the weights that phase 2 trains, and their change as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import nn


class Adapter(Protocol):
    """Moves the weights of a family; the token rows are not its business."""

    trains_words: bool
    """Whether the words of the training prompts move too, as they do when the whole text encoder
    is trained (their rows then belong to the result)."""

    def begin(self) -> None:
        """Phase 2 is about to start; until then the model is the base model."""
        ...

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained weights, by name; the same names at every start of a run."""
        ...

    def modules(self) -> Sequence[nn.Module]:
        """Modules of the adapter's own, which no network of the family holds."""
        ...

    def write(self, folder: Path) -> None:
        """Write the change since `begin` into a folder of concepts; nothing before it."""
        ...
