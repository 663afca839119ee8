"""Names of Stable Diffusion's original layout for the names of diffusers and transformers.

Two layouts are in use: that of the libraries, and the original one (CompVis' LDM for 1.x and 2.x,
Stability's sgm for XL) of single-file checkpoints and of every LoRA for XL. The maps take module
paths and tensor names alike, without a component's prefix. Nothing is loaded here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from engine.files.pending import Pending
from engine.results.exports.clip_files import bare_name

Tensors = Mapping[str, Pending]

FILE_UNET = "model.diffusion_model."
"""How a single file's UNet tensors begin."""

UNET_EDGES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_BLOCK = re.compile(r"(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.(\w+)\.(\d+)(?:\.(.+))?")
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPEN_CLIP_EDGES = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


class UnetShape(NamedTuple):
    """What the numbers in the original names depend on."""

    layers: int
    """Residual blocks of a level on the way down; one more on the way up."""
    attended: frozenset[int]
    """Levels on the way up that have attention."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> UnetShape:
        """From the configuration of a UNet2DConditionModel."""
        layers = config["layers_per_block"]
        kinds: Sequence[str] = config["up_block_types"]
        return cls(
            layers if isinstance(layers, int) else layers[0],
            frozenset(level for level, kind in enumerate(kinds) if "Attn" in kind),
        )


def unet_name(name: str, shape: UnetShape) -> str:
    """A UNet's module or tensor in the original layout; KeyError for a part it does not have."""
    for start, new in UNET_EDGES.items():
        if name == start or name.startswith(start + "."):
            return new + name.removeprefix(start)
    match = UNET_BLOCK.fullmatch(name)
    if match is None:
        raise KeyError(name)
    side, level, kind, layer, rest = match.groups(default="")
    if kind == "resnets" and rest:
        part, _, leaf = rest.partition(".")
        rest = UNET_RESNET[part] + (f".{leaf}" if leaf else "")
    attention = int(kind == "attentions")
    if side == "mid_block":
        place = f"middle_block.{1 if attention else 2 * int(layer)}"
    else:
        first = int(level) * (shape.layers + 1)
        if kind == "downsamplers":
            place, rest = f"input_blocks.{first + shape.layers + 1}.0.op", _after_conv(rest)
        elif kind == "upsamplers":
            slot = 2 if int(level) in shape.attended else 1
            place, rest = f"output_blocks.{first + shape.layers}.{slot}.conv", _after_conv(rest)
        elif side == "down_blocks":
            place = f"input_blocks.{first + int(layer) + 1}.{attention}"
        else:
            place = f"output_blocks.{first + int(layer)}.{attention}"
    return f"{place}.{rest}" if rest else place


def vae_name(name: str, levels: int) -> str:
    """A tensor of an AutoencoderKL of `levels` resolutions in the original layout."""
    new = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
    new = re.sub(
        r"up_blocks\.(\d+)\.(resnets|upsamplers\.0)",
        lambda m: f"up.{levels - 1 - int(m[1])}.{'block' if m[2] == 'resnets' else 'upsample'}",
        new,
    )
    new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
    new = new.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    before, attention, part = new.partition("mid_block.attentions.0.")
    if not attention:
        return new
    kind, _, leaf = part.rpartition(".")
    return f"{before}mid.attn_1.{VAE_ATTENTION[kind]}.{leaf}"


def unet_tensors(tensors: Tensors, shape: UnetShape) -> dict[str, Pending]:
    """A UNet's tensors under their original names."""
    return {unet_name(name, shape): tensor for name, tensor in tensors.items()}


def vae_tensors(tensors: Tensors, levels: int) -> dict[str, Pending]:
    """A VAE's tensors under their original names; its attention becomes 1x1 convolutions."""
    renamed = {vae_name(name, levels): tensor for name, tensor in tensors.items()}
    return {
        name: tensor.then(_as_convolution)
        if ".attn_1." in name and len(tensor.shape) == 2
        else tensor
        for name, tensor in renamed.items()
    }


def open_clip_tensors(tensors: Tensors) -> dict[str, Pending]:
    """A CLIP text encoder's tensors as OpenCLIP names and packs them.

    Query, key and value lie in one matrix there, and the projection (D, D) is transposed.
    """
    weights = {bare_name(name): tensor for name, tensor in tensors.items()}
    renamed: dict[str, Pending] = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if name == "text_projection.weight":
            renamed["text_projection"] = tensor.then(_transposed)
        elif match is None:
            if name in OPEN_CLIP_EDGES:  # Others are buffers, such as position_ids.
                renamed[OPEN_CLIP_EDGES[name]] = tensor
        else:
            layer, part, kind = match.groups()
            block = f"transformer.resblocks.{layer}."
            if part in OPEN_CLIP_LAYER:
                renamed[f"{block}{OPEN_CLIP_LAYER[part]}.{kind}"] = tensor
            elif part == "self_attn.q_proj":
                start = f"encoder.layers.{layer}.self_attn."
                packed = [weights[f"{start}{letter}_proj.{kind}"] for letter in "qkv"]
                renamed[f"{block}attn.in_proj_{kind}"] = Pending.stack(packed)
    return renamed


def _as_convolution(matrix_OI: torch.Tensor) -> torch.Tensor:
    return matrix_OI[:, :, None, None]


def _transposed(matrix_DD: torch.Tensor) -> torch.Tensor:
    return matrix_DD.T


def _after_conv(rest: str) -> str:
    """`weight` of `conv.weight`: the original's sampler is the convolution itself."""
    return rest.removeprefix("conv").removeprefix(".")
