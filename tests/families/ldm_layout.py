"""Writes a diffusers folder as one file in the original (LDM) layout of Stable Diffusion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from engine.files.pending import Pending, pending
from engine.results.exports import layouts
from engine.results.exports.clip_files import published_name

Tensors = dict[str, torch.Tensor]


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
        tensors |= clip_tensors(pipeline / "text_encoder", first)
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
    weights = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    shape = layouts.UnetShape.of(_config(pipeline / "unet"))
    return _under("model.diffusion_model.", made(layouts.unet_tensors(pending(weights), shape)))


def vae_tensors(pipeline: Path) -> Tensors:
    """The VAE under `first_stage_model.`; its attention is kept as 1x1 convolutions there."""
    levels = len(_config(pipeline / "vae")["block_out_channels"])
    weights = load_file(pipeline / "vae" / "diffusion_pytorch_model.safetensors")
    return _under("first_stage_model.", made(layouts.vae_tensors(pending(weights), levels)))


def text_tensors(pipeline: Path, version: int) -> Tensors:
    """The text encoder under `cond_stage_model.`, by CLIP's (1) or OpenCLIP's (2) names."""
    folder = pipeline / "text_encoder"
    if version == 1:
        return clip_tensors(folder, "cond_stage_model.transformer.")
    return open_clip_tensors(folder, "cond_stage_model.model.")


def clip_tensors(folder: Path, start: str) -> Tensors:
    """A text encoder by CLIP's own names."""
    weights = load_file(folder / "model.safetensors")
    return {start + published_name(name): tensor for name, tensor in weights.items()}


def open_clip_tensors(folder: Path, start: str) -> Tensors:
    """A text encoder by OpenCLIP's names."""
    weights = pending(load_file(folder / "model.safetensors"))
    return _under(start, made(layouts.open_clip_tensors(weights)))


def made(tensors: Mapping[str, Pending]) -> Tensors:
    """All of them at once."""
    return {name: tensor.make() for name, tensor in tensors.items()}


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}
