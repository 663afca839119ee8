"""What a run has learned, read from its files; no model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.adapters import full, lora
from engine.core.errors import BasError, UserError
from engine.files.pending import Pending
from engine.files.weights_io import load_tensors
from engine.models.headers import read_header
from engine.results.exports.lora_names import (
    TEXT,
    TEXT_2,
    from_peft,
    is_exported,
    layer_of,
    published_weight,
)
from engine.results.exports.low_rank import Factored, LowRank, factor
from engine.runs.export_targets import MAX_RANK
from engine.runs.folder import RunDir, has_concepts
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest

CHANGES, LORA = full.FILE, lora.FILE
OnLayer = Callable[[int, int], None]
"""Called with the layers done and the layers in all."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The result in a run's `concepts/` folder."""

    run: RunDir
    manifest: Manifest
    concepts: tuple[ConceptEntry, ...]
    base_hash: str
    step: int
    recipe: dict[str, Any]
    rows: dict[str, torch.Tensor]
    """As in `rows.safetensors`: placeholder rows of every text encoder, word rows, word ids."""

    @property
    def placeholder_rows(self) -> tuple[torch.Tensor, ...]:
        """The concepts' rows of each text encoder, (N, width) each."""
        names = ("placeholder_rows", "placeholder_rows_2")
        return tuple(self.rows[name] for name in names if name in self.rows)

    @property
    def changes_file(self) -> Path | None:
        """The change of the weights as it is; None where nothing moved, or a LoRA was trained."""
        return _there(self.run.concepts / CHANGES)

    @property
    def lora_file(self) -> Path | None:
        """The LoRA that was trained; None for a full run."""
        return _there(self.run.concepts / LORA)


def read_learned(run: RunDir) -> Learned:
    """The run's result; raises UserError while it has none."""
    if not has_concepts(run.concepts):
        raise UserError(f"{run.name} has no concepts yet", f"let it train: bas resume {run.name}")
    manifest = read_manifest(run)
    try:
        record = json.loads((run.concepts / "concepts.json").read_text(encoding="utf-8"))
        return Learned(
            run=run,
            manifest=manifest,
            concepts=tuple(ConceptEntry(**entry) for entry in record["concepts"]),
            base_hash=record["base_hash"],
            step=record["step"],
            recipe=record["recipe"],
            rows=load_tensors(run.concepts / "rows.safetensors"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BasError(
            f"the concepts of {run.name} cannot be read ({error})", "let it train again"
        ) from error


def trained_layers(learned: Learned) -> dict[str, LowRank]:
    """The layers of a run that trained a LoRA, as they are; {} for any other run."""
    return from_peft(load_tensors(learned.lora_file)) if learned.lora_file else {}


def weight_changes(learned: Learned) -> dict[str, list[Pending]]:
    """What a run adds to each weight, by published names; read only when it is wanted."""
    changes: dict[str, list[Pending]] = {}
    path = learned.changes_file
    if path is not None:
        for name, shape in read_header(path).shapes.items():
            read = partial(_read_float, path, name)
            whole = Pending(shape, torch.float32, read)
            changes.setdefault(published_weight(name), []).append(whole)
    for layer, factors in trained_layers(learned).items():
        shape = (len(factors.up), *factors.down.shape[1:])
        product = Pending(shape, torch.float32, factors.product)
        changes.setdefault(published_weight(f"{layer}.weight"), []).append(product)
    return changes


def factored_layers(
    learned: Learned, rank: int = MAX_RANK, on_layer: OnLayer | None = None
) -> dict[str, Factored]:
    """The change of every layer of a full run as thin matrices of at most this rank, by SVD.

    One layer is in memory at a time. Layers that did not move are left out.
    """
    layers = dict(changed_layers(learned))
    factored: dict[str, Factored] = {}
    for index, (layer, read) in enumerate(layers.items()):
        found = factor(read(), rank)
        if found.total:
            factored[layer] = found
        if on_layer is not None:
            on_layer(index + 1, len(layers))
    return factored


def changed_layers(learned: Learned) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    """Each changed layer that has a name in LoRA files, with a function that reads its change."""
    path = learned.changes_file
    if path is None:
        return
    for name, shape in read_header(path).shapes.items():
        layer = layer_of(name)
        if layer is not None and len(shape) >= 2 and is_exported(layer):
            yield layer, lambda name=name: _read(path, name)


def rest_of_change(learned: Learned, layers: Collection[str]) -> dict[str, torch.Tensor]:
    """What no product of matrices can carry: changes of norms, and of the layers' biases."""
    path = learned.changes_file
    if path is None:
        return {}
    found: dict[str, torch.Tensor] = {}
    for name, shape in read_header(path).shapes.items():
        module, _, leaf = name.rpartition(".")
        if len(shape) == 1 and (leaf == "weight" or module in layers or "norm" in module):
            found[name] = _read(path, name)
    return found


def change_energy(learned: Learned) -> float:
    """The squared norm of the whole change."""
    path = learned.changes_file
    names = read_header(path).shapes if path else {}
    return sum(float(_read(path, name).double().square().sum()) for name in names) if path else 0.0


def part_of(layer: str, is_convolution: bool) -> str:
    """The kind of a layer, for people."""
    if layer.startswith((TEXT, TEXT_2)):
        return "text encoder"
    return "UNet convolutions" if is_convolution else "UNet linear layers"


def _read(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, "pt") as file:
        return file.get_tensor(name)


def _read_float(path: Path, name: str) -> torch.Tensor:
    return _read(path, name).float()


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
