"""Other people's embeddings: rows of the text encoders, one for each position they take.

Shape legend: n vectors of a word, W width of a text encoder's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from engine.core.errors import UserError
from engine.files.weights_io import load_tensors
from engine.models.additions import BUNDLE, embedding_keys, embedding_shape

WIDTHS = {
    (768,): "Stable Diffusion 1.x",
    (1024,): "Stable Diffusion 2.x",
    (768, 1280): "Stable Diffusion XL",
}
Rows = tuple[torch.Tensor, ...]


def read_embedding(path: Path, widths: Sequence[int]) -> Rows:
    """The rows (n, W) of an embedding file for each text encoder; UserError for a misfit."""
    embedding_shape(path)  # Says what else it is.
    return _rows(load_tensors(path), widths, path.name)


def read_bundled(path: Path, widths: Sequence[int]) -> dict[str, Rows]:
    """The embeddings inside a LoRA file (A1111's bundle), by name."""
    inside: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_tensors(path).items():
        if key.startswith(BUNDLE):
            name, _, part = key.removeprefix(BUNDLE).partition(".")
            inside.setdefault(name, {})[part] = tensor
    return {name: _rows(parts, widths, f"{name} in {path.name}") for name, parts in inside.items()}


def _rows(parts: dict[str, torch.Tensor], widths: Sequence[int], label: str) -> Rows:
    keys = embedding_keys({key: tuple(tensor.shape) for key, tensor in parts.items()})
    rows = tuple(torch.atleast_2d(parts[key]).float() for key in keys)
    found = tuple(row.shape[1] for row in rows)
    if found != tuple(widths):
        kind = WIDTHS.get(found, f"a model with text of width {' and '.join(map(str, found))}")
        own = WIDTHS.get(tuple(widths), f"width {' and '.join(map(str, widths))}")
        raise UserError(
            f"{label} is an embedding for {kind}, this run's base model reads {own}",
            "use one made for the kind of base model that the run was trained on",
        )
    return rows
