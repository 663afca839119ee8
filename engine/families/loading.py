"""Loads a base model: a name, a diffusers folder, a single safetensors file, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from engine.families.stable_diffusion import StableDiffusion


def load_folder(
    folder: Path, *, device: torch.device, name: str = "", dtype: torch.dtype = torch.float32
) -> StableDiffusion:
    """The model of a diffusers folder; safetensors files only, nothing is fetched."""
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=dtype, **options)
    unet = UNet2DConditionModel.from_pretrained(
        folder, subfolder="unet", torch_dtype=dtype, **options
    )
    text_encoder = CLIPTextModel.from_pretrained(
        folder, subfolder="text_encoder", dtype=dtype, **options
    )
    tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
    scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
    return StableDiffusion(
        name=name or folder.name,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        vae=vae,
        scheduler_config=dict(scheduler.config),
        device=device,
    )
