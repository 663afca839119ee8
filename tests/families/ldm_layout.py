"""Writes a diffusers folder as one file in the original (LDM) layout of Stable Diffusion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_EDGES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def write_ldm_file(
    pipeline: Path,
    path: Path,
    *,
    version: int = 1,
    dtype: torch.dtype = torch.float32,
    without: str = "",
) -> Path:
    """Write the pipeline's weights to `path`; version 2 takes OpenCLIP's names for the text.

    `without` leaves out one tensor, as a damaged file would. A pipeline of Stable Diffusion XL is
    written in its own (sgm) layout, whatever the version.
    """
    tensors = unet_tensors(pipeline) | vae_tensors(pipeline)
    if (pipeline / "text_encoder_2").is_dir():
        first, second = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
        tensors |= clip_tensors(pipeline / "text_encoder", first + "text_model.")
        tensors |= open_clip_tensors(pipeline / "text_encoder_2", second)
    else:
        tensors |= text_tensors(pipeline, version)
        tensors |= _company(version, tensors)
    if without:
        del tensors[without]
    save_file({name: t.to(dtype).contiguous() for name, t in tensors.items()}, path)
    return path


def _company(version: int, tensors: Tensors) -> Tensors:
    """What real checkpoints hold besides the model."""
    company = {
        "alphas_cumprod": torch.linspace(1, 0, 1000),
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modelinput_blocks00bias": torch.zeros(16),
    }
    if version == 1:
        start = "cond_stage_model.transformer.text_model."
        return company | {f"{start}embeddings.position_ids": torch.arange(24)[None]}
    width = tensors["cond_stage_model.model.positional_embedding"].shape[1]
    return company | {
        "cond_stage_model.model.logit_scale": torch.tensor(4.6),
        "cond_stage_model.model.text_projection": torch.zeros(width, width // 2),
    }


def unet_tensors(pipeline: Path) -> Tensors:
    """The UNet under `model.diffusion_model.`."""
    layers: int = json.loads((pipeline / "unet" / "config.json").read_text())["layers_per_block"]
    weights = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    attended = {name.rpartition(".attentions")[0] for name in weights if ".attentions." in name}
    return {
        f"model.diffusion_model.{_unet_name(name, layers, attended)}": tensor
        for name, tensor in weights.items()
    }


def _unet_name(name: str, layers: int, attended: set[str]) -> str:
    for start, new in UNET_EDGES.items():
        if name.startswith(start + "."):
            return new + name.removeprefix(start)
    match = re.fullmatch(r"(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.(\w+)\.(\d+)\.(.+)", name)
    assert match, name
    side, level, kind, layer, rest = match.groups(default="")
    block = f"{side}.{level}"
    if kind == "resnets":
        rest = re.sub(r"^\w+", lambda part: RESNET[part.group()], rest)
    if side == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(layer)}.{rest}"
    if side == "down_blocks":
        first = int(level) * (layers + 1) + 1
        if kind == "downsamplers":
            return f"input_blocks.{first + layers}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{first + int(layer)}.{int(kind == 'attentions')}.{rest}"
    first = int(level) * (layers + 1)
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if block in attended else 1}.{rest}"
    return f"output_blocks.{first + int(layer)}.{int(kind == 'attentions')}.{rest}"


def vae_tensors(pipeline: Path) -> Tensors:
    """The VAE under `first_stage_model.`; its attention is kept as 1x1 convolutions there."""
    levels = len(json.loads((pipeline / "vae" / "config.json").read_text())["block_out_channels"])
    weights = load_file(pipeline / "vae" / "diffusion_pytorch_model.safetensors")
    tensors: Tensors = {}
    for name, tensor in weights.items():
        new = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(
            r"up_blocks\.(\d+)\.(resnets|upsamplers\.0)",
            lambda m: f"up.{levels - 1 - int(m[1])}.{'block' if m[2] == 'resnets' else 'upsample'}",
            new,
        )
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = new.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if "mid_block.attentions.0." in new:
            new = new.replace("mid_block.attentions.0.", "mid.attn_1.")
            for old, short in VAE_ATTENTION.items():
                new = new.replace(f"attn_1.{old}.", f"attn_1.{short}.")
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        tensors[f"first_stage_model.{new}"] = tensor
    return tensors


def text_tensors(pipeline: Path, version: int) -> Tensors:
    """The text encoder under `cond_stage_model.`, by CLIP's (1) or OpenCLIP's (2) names."""
    folder = pipeline / "text_encoder"
    if version == 1:
        return clip_tensors(folder, "cond_stage_model.transformer.text_model.")
    return open_clip_tensors(folder, "cond_stage_model.model.")


def clip_tensors(folder: Path, start: str) -> Tensors:
    """A text encoder by CLIP's own names."""
    return {start + name: tensor for name, tensor in _text_weights(folder).items()}


def open_clip_tensors(folder: Path, start: str) -> Tensors:
    """A text encoder by OpenCLIP's names."""
    weights, tensors = _text_weights(folder), Tensors()
    for name, tensor in weights.items():
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if name == "text_projection.weight":
            tensors[f"{start}text_projection"] = tensor.T
            continue
        if match is None:
            new = name.replace("final_layer_norm", "ln_final")
            new = new.replace("embeddings.token_embedding", "token_embedding")
            new = new.replace("embeddings.position_embedding.weight", "positional_embedding")
            tensors[start + new] = tensor
            continue
        layer, part, kind = match.groups()
        block = f"{start}transformer.resblocks.{layer}."
        if part in CLIP_LAYER:
            tensors[f"{block}{CLIP_LAYER[part]}.{kind}"] = tensor
        elif part == "self_attn.q_proj":
            packed = [
                weights[f"encoder.layers.{layer}.self_attn.{letter}_proj.{kind}"]
                for letter in "qkv"
            ]
            tensors[f"{block}attn.in_proj_{kind}"] = torch.cat(packed)
    return tensors


def _text_weights(folder: Path) -> Tensors:
    return {
        name.removeprefix("text_model."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
