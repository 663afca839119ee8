"""How programs name the layers of a LoRA: kohya's way (A1111, ComfyUI) and PEFT's (diffusers).

A layer is written here as `unet.<path>`, `text_encoder.<path>` or `text_encoder_2.<path>`, with
diffusers' and transformers' module paths; `text_model.` may stand in a path or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from engine.results.exports.base_facts import Kind
from engine.results.exports.clip_files import bare_name, published_name
from engine.results.exports.layouts import UnetShape, unet_name
from engine.results.exports.low_rank import LowRank

UNET, TEXT, TEXT_2 = "unet.", "text_encoder.", "text_encoder_2."
NO_LAYERS = ("embeddings.token_embedding", "embeddings.position_embedding")
PROJECTION = "text_projection"
"""Of XL's second encoder: A1111 has no name for it, and its change is tiny."""
EXTRA = "add_embedding."
"""What a UNet is told besides states: of published ones only XL's has this."""


def layer_of(name: str) -> str | None:
    """The layer whose matrix a weight's name is; None for biases, norms and embeddings."""
    layer, dot, leaf = name.rpartition(".")
    component, _, path = layer.partition(".")
    if not dot or leaf != "weight" or f"{component}." not in (UNET, TEXT, TEXT_2):
        return None
    return None if bare_name(path).startswith(NO_LAYERS) else layer


def is_exported(layer: str) -> bool:
    """Whether the layer has a name in LoRA files."""
    return not bare_name(layer.partition(".")[2]).startswith(PROJECTION)


def has_kohya_name(layer: str, kind: Kind) -> bool:
    """Whether A1111 and ComfyUI know the layer."""
    return kind == "sdxl" or not layer.startswith(f"{UNET}{EXTRA}")


def kohya_name(layer: str, kind: Kind, shape: UnetShape) -> str:
    """`lora_unet_...` or `lora_te...`: XL's UNet goes by the original layout's paths."""
    component, _, path = layer.partition(".")
    if f"{component}." == UNET:
        prefix = "lora_unet"
        path = unet_name(path, shape) if kind == "sdxl" else path
    else:
        second = f"{component}." == TEXT_2
        prefix = f"lora_te{2 if second else 1}" if kind == "sdxl" else "lora_te"
        path = published_name(path)
    return f"{prefix}_{path.replace('.', '_')}"


def peft_name(layer: str) -> str:
    """`unet.<path>` or `text_encoder.text_model.<path>`, as `load_lora_weights` reads it."""
    return published_weight(layer)


def kohya_tensors(
    layers: Mapping[str, LowRank], kind: Kind, shape: UnetShape
) -> dict[str, torch.Tensor]:
    """`.lora_down.weight`, `.lora_up.weight`, `.alpha`: the rank, which makes strength 1."""
    tensors: dict[str, torch.Tensor] = {}
    for layer, factors in layers.items():
        if not has_kohya_name(layer, kind):
            continue
        name = kohya_name(layer, kind, shape)
        tensors[f"{name}.lora_down.weight"] = factors.down
        tensors[f"{name}.lora_up.weight"] = factors.up
        tensors[f"{name}.alpha"] = torch.tensor(float(factors.rank), dtype=factors.down.dtype)
    return tensors


def kohya_rest(
    rest: Mapping[str, torch.Tensor],
    layers: Collection[str],
    kind: Kind,
    shape: UnetShape,
) -> dict[str, torch.Tensor]:
    """Changes of norms and biases beside a LoRA: `.w_norm`, `.b_norm`, `.diff_b`.

    A1111 and ComfyUI add the norms, ComfyUI the biases too. A bias is written only beside its
    layer's factors, and a norm only whole: A1111 refuses a file with either alone. Text encoders'
    norms are left out, which ComfyUI does not know.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, change in rest.items():
        module, _, leaf = name.rpartition(".")
        if not has_kohya_name(module, kind):
            continue
        if module in layers:
            tensors[f"{kohya_name(module, kind, shape)}.diff_b"] = change
        elif module.startswith(UNET) and {f"{module}.weight", f"{module}.bias"} <= rest.keys():
            # The last norm has no name of diffusers' in A1111, but every program knows the
            # original one.
            way: Kind = "sdxl" if module == f"{UNET}conv_norm_out" else kind
            norm = kohya_name(module, way, shape)
            tensors[f"{norm}.{'w_norm' if leaf == 'weight' else 'b_norm'}"] = change
    return tensors


def published_weight(name: str) -> str:
    """A weight's name with `text_model.` in it where it belongs, whoever named it."""
    component, _, path = name.partition(".")
    return name if f"{component}." == UNET else f"{component}.{published_name(path)}"


def peft_tensors(layers: Mapping[str, LowRank]) -> dict[str, torch.Tensor]:
    """`.lora_A.weight` (down) and `.lora_B.weight` (up), strength 1."""
    tensors: dict[str, torch.Tensor] = {}
    for layer, factors in layers.items():
        tensors[f"{peft_name(layer)}.lora_A.weight"] = factors.down
        tensors[f"{peft_name(layer)}.lora_B.weight"] = factors.up
    return tensors


def from_peft(tensors: Mapping[str, torch.Tensor]) -> dict[str, LowRank]:
    """The layers of a file in PEFT's naming with strength 1, as a LoRA run leaves it."""
    ends = (".lora_A.weight", ".lora_B.weight")
    layers = [name.removesuffix(ends[0]) for name in tensors if name.endswith(ends[0])]
    return {layer: LowRank(*(tensors[layer + end] for end in ends)) for layer in layers}
