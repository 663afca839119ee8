"""Stable Diffusion 1.x and 2.x, and everything with their layout (the embedded model too).

Shape legend: B batch, C latent channels, H and W latent size, G geometry numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from engine.families.clip_text import ClipText
from engine.families.contract import Conditioning
from engine.families.discrete_noise import DiscreteNoise
from engine.families.recorder import CrossAttentionMaps
from engine.families.unet_targets import UnetTargets
from engine.families.vae_codec import VaeCodec


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
        self.noise = DiscreteNoise(scheduler_config, device)
        self.text = ClipText(tokenizer, text_encoder)
        self.codec = VaeCodec(vae, device)
        self.maps = CrossAttentionMaps(unet, self.codec.factor)
        self.targets = UnetTargets({"unet": unet, "text_encoder": text_encoder})
        self.resolution: int = unet.config["sample_size"] * self.codec.factor

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
