"""Stable Diffusion 1.x and 2.x, and everything with their layout (the embedded model too).

Shape legend: B batch, C latent channels, H and W latent size, G geometry numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from engine.families.clip_text import ClipText
from engine.families.components import (
    in_own_memory,
    load_part,
    load_scheduler_config,
    load_tokenizer,
    scheduler_with,
)
from engine.families.contract import Conditioning
from engine.families.discrete_noise import DiscreteNoise
from engine.families.joined_projections import join_projections
from engine.families.load_request import LoadRequest
from engine.families.quiet import quiet_libraries
from engine.families.recorder import CrossAttentionMaps
from engine.families.single_file import END, OPEN_CLIP_PAD, ModelFile
from engine.families.unet_targets import UnetTargets
from engine.families.vae_codec import VaeCodec
from engine.models.detection import check_file
from engine.models.facts import native_resolution
from engine.models.kinds import STABLE_DIFFUSION
from engine.models.weight_files import FULL


class StableDiffusion:
    """One UNet, one CLIP text encoder, one VAE."""

    def __init__(
        self,
        *,
        name: str,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        vae: AutoencoderKL,
        scheduler_config: dict[str, Any],
        device: torch.device,
    ) -> None:
        self.name = name
        self.unet = unet
        self.device = device
        for model in (unet, text_encoder, vae):
            model.requires_grad_(False).eval()
            model.to(device)
        join_projections(unet, (text_encoder,))
        self.noise = DiscreteNoise(scheduler_config, device)
        self.text = ClipText(tokenizer, text_encoder)
        self.codec = VaeCodec(vae, device)
        self.maps = CrossAttentionMaps(unet, self.codec.factor)
        self.targets = UnetTargets({"unet": unet, "text_encoder": text_encoder})
        self.resolution = native_resolution(unet.config, vae.config)

    def predict(
        self,
        noised_BCHW: torch.Tensor,
        levels_B: torch.Tensor,
        conditioning: Conditioning,
        geometry_BG: torch.Tensor,  # noqa: ARG002 - this UNet was never told sizes or crops
    ) -> torch.Tensor:
        """The UNet's output (B, C, H, W)."""
        dtype = self.unet.dtype
        states_BLD = conditioning.states_BLD.to(dtype)
        return self.unet(noised_BCHW.to(dtype), levels_B, states_BLD, return_dict=False)[0]

    def checkpoint_activations(self) -> None:
        """Recompute the UNet's activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()


def load(request: LoadRequest) -> StableDiffusion:
    """The model of a diffusers folder or of a single file; raises UserError."""
    path = request.path
    dtype, vae_dtype = (None, None) if request.mapped else (request.dtype, torch.float32)
    with quiet_libraries():
        if path.is_dir():
            stems = STABLE_DIFFUSION.weights
            unet = load_part(
                UNet2DConditionModel, path, "unet", stems["unet"], request.variants,
                torch_dtype=dtype,
            )  # fmt: skip
            text_encoder = load_part(
                CLIPTextModel, path, "text_encoder", stems["text_encoder"], request.variants,
                dtype=dtype,
            )  # fmt: skip
            vae = request.vae(lambda: load_part(
                AutoencoderKL, path, "vae", stems["vae"], request.variants,
                torch_dtype=vae_dtype,
            ))  # fmt: skip
            tokenizer = load_tokenizer(path)
            scheduler = scheduler_with(load_scheduler_config(path), request.prediction)
        else:
            told = check_file(path, own_vae=request.own_vae is not None)
            file = ModelFile(path, told, "sd2" if told.open_clip else "sd1")
            unet = file.unet(dtype)
            if told.resolution and file.beside is None:
                unet.register_to_config(sample_size=told.resolution // 8)
            if told.open_clip:
                text_encoder = file.open_clip(
                    CLIPTextModel, "text_encoder", "cond_stage_model.model.", dtype
                )
            else:
                text_encoder = file.clip(
                    CLIPTextModel, "text_encoder", "cond_stage_model.transformer.", dtype
                )
            vae = request.vae(lambda: file.vae(vae_dtype))
            tokenizer = file.tokenizer("tokenizer", OPEN_CLIP_PAD if told.open_clip else END)
            scheduler = file.scheduler_config(request.prediction)
    if not request.mapped:
        in_own_memory((unet, vae, text_encoder))
    return StableDiffusion(
        name=request.name,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        vae=vae,
        scheduler_config=scheduler,
        device=request.device,
    )


def load_folder(folder: Path, *, device: torch.device) -> StableDiffusion:
    """The model of a diffusers folder in fp32, for tools that need its own classes."""
    return load(LoadRequest(folder, folder.name, device, torch.float32, FULL))
