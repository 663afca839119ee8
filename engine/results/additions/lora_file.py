"""Other people's LoRA files for a loaded model: every key has its place, or none is used."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from engine.core.errors import UserError
from engine.families.contract import Family
from engine.files.weights_io import load_tensors
from engine.models.additions import (
    BUNDLE,
    WIDTHS,
    addition_header,
    embedding_keys,
    made_for,
)
from engine.models.headers import Header, read_json
from engine.results.additions.layer_names import module_names, read_key
from engine.results.additions.lora_forms import LayerChange, Misfit, layer_change
from engine.results.exports.layouts import UnetShape
from engine.results.exports.low_rank import LowRank

MOST_FIT = 0.5
"""With fewer of its layers in the model, a file was made for another kind of it."""


class LoraFile(NamedTuple):
    """A LoRA at strength 1, by the names of the family."""

    layers: dict[str, LowRank]
    """Thin matrices of linear and convolution layers."""
    weights: dict[str, torch.Tensor]
    """Changes of whole weights, which thin matrices cannot hold: other forms, norms, biases."""


def read_lora(path: Path, family: Family) -> LoraFile:
    """A LoRA file for a loaded family; embeddings in it are left to others.

    Raises UserError for a file of another kind of base model, and for one with keys that have no
    place in it: half a LoRA is another LoRA.
    """
    header = addition_header(path)
    lone = embedding_keys(header.shapes)
    if lone and not any(read_key(key) or key.startswith(BUNDLE) for key in lone):
        raise UserError(f"{path.name} is an embedding", f"draw with it by --embedding {path.name}")
    weights = family.targets.weights()
    unet: Any = family.targets.networks.get("unet")
    if unet is None:
        raise UserError(f"{family.name} is of a kind that has no LoRA files", "draw without --lora")
    names = module_names(
        dict.fromkeys(name.rpartition(".")[0] for name in weights), UnetShape.of(unet.config)
    )
    grouped, strange = _grouped(load_tensors(path), names)
    dora = sorted(module for module, parts in grouped.items() if "dora" in parts)
    if dora:
        raise UserError(
            f"{path.name} is a DoRA ({len(dora)} layers with a magnitude of their own)",
            "merge it into its checkpoint and train on that, or use a plain LoRA",
        )
    scales = _scales(path, header)
    changes: dict[str, LayerChange] = {}
    for module, parts in grouped.items():
        weight = weights[f"{module}.weight"]
        try:
            change = layer_change(parts, weight, _scale(scales, module, parts))
        except Misfit:
            strange.append(module)
            continue
        bias = weights.get(f"{module}.bias")
        if change.bias is not None and (bias is None or bias.shape != change.bias.shape):
            strange.append(module)
        changes[module] = change
    if strange:
        raise _refused(path, header, strange, len(grouped), unet)
    if not changes:
        raise UserError(f"{path.name} is no LoRA: nothing in it is a change", "name another file")
    return _sorted(changes)


def _grouped(
    tensors: Mapping[str, torch.Tensor], names: Mapping[str, str]
) -> tuple[dict[str, dict[str, torch.Tensor]], list[str]]:
    """Tensors by the module that they change; and the keys of no module."""
    grouped: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    strange: list[str] = []
    for key, tensor in tensors.items():
        if key.startswith(BUNDLE):
            continue
        found = read_key(key)
        module = names.get(found.module) if found else None
        if found is None or module is None:
            strange.append(key)
        else:
            grouped[module][found.part] = tensor
    return dict(grouped), strange


def _sorted(changes: Mapping[str, LayerChange]) -> LoraFile:
    found = LoraFile({}, {})
    for module, change in changes.items():
        if change.low is not None:
            found.layers[module] = change.low
        if change.weight is not None:
            found.weights[f"{module}.weight"] = change.weight
        if change.bias is not None:
            found.weights[f"{module}.bias"] = change.bias
    return found


def _refused(
    path: Path, header: Header, strange: list[str], fit: int, unet: nn.Module
) -> UserError:
    """Why the file cannot be used, and what to do."""
    config: Any = unet.config
    own = WIDTHS.get(config["cross_attention_dim"], "this base model")
    other = made_for(header)
    if other and other != own:
        return UserError(
            f"{path.name} was made for {other}, this run's base model is {_is(own)}",
            f"use a LoRA made for {own}, or learn the things on a base model of its kind",
        )
    modules = {found.module for key in strange if (found := read_key(key))}
    if len(modules) > fit * MOST_FIT:
        return UserError(
            f"{path.name} does not fit this run's base model: it has no place for {_keys(strange)}",
            f"use a LoRA made for {own}",
        )
    return UserError(
        f"this run's base model has no place for {_keys(strange)} of {path.name}",
        "without them it would be another LoRA: take a version of it in kohya's or diffusers' form",
    )


def _keys(strange: list[str]) -> str:
    count = len(strange)
    return f"{count} keys ({min(strange)} ...)" if count > 1 else f"the key {strange[0]}"


def _is(own: str) -> str:
    return own if own in WIDTHS.values() else "of another kind"


def _scales(path: Path, header: Header) -> Mapping[str, Any]:
    """What a file in PEFT's form says of alpha: in its metadata, or in a file beside it."""
    try:
        told = json.loads(header.metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        told = {}
    if isinstance(told, dict) and told:
        return told
    beside = read_json(path.with_name("adapter_config.json"))
    # Of the whole file, without the name of a network.
    return {f"{network}.{key}": value for key, value in (beside or {}).items()
            for network in ("unet", "text_encoder", "text_encoder_2")}  # fmt: skip


def _scale(
    scales: Mapping[str, Any], module: str, parts: Mapping[str, torch.Tensor]
) -> float | None:
    if "alpha" in parts or "down" not in parts:
        return None
    network, _, path = module.partition(".")
    alpha = _pattern(scales.get(f"{network}.alpha_pattern"), path)
    alpha = scales.get(f"{network}.lora_alpha") if alpha is None else alpha
    rank = len(parts["down"])
    if not isinstance(alpha, int | float):
        return None
    return alpha / (rank**0.5 if scales.get(f"{network}.use_rslora") is True else rank)


def _pattern(patterns: Any, path: str) -> float | None:
    """PEFT's exceptions: names of modules, or ends of them."""
    if not isinstance(patterns, dict):
        return None
    return next((v for end, v in patterns.items() if f".{path}".endswith(f".{end}")), None)
