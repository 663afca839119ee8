"""Pictures to latents and back by a KL autoencoder.

Shape legend: B batch, C latent channels, H and W latent size or picture size in pixels.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

from engine.families.contract import Posterior
from engine.families.pixels import to_pictures, to_pixels


class VaeCodec:
    """An AutoencoderKL, always in its own precision: in half precision SDXL's overflows."""

    def __init__(self, vae: AutoencoderKL, device: torch.device) -> None:
        self.vae = vae
        self._device = device
        self.channels: int = vae.config["latent_channels"]
        self.factor = 2 ** (len(vae.config["block_out_channels"]) - 1)

    def size(self, resolution: int) -> int:
        """Side of the latents of a square picture."""
        return resolution // self.factor

    @torch.no_grad()
    def encode(self, pictures_BHWC: np.ndarray) -> Posterior:
        """Posterior of pictures, uint8 (B, H, W, 3)."""
        pixels_BCHW = to_pixels(pictures_BHWC).to(self.vae.device, self.vae.dtype)
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded: Any = self.vae.encode(pixels_BCHW)
        distribution = encoded.latent_dist
        scale: float = self.vae.config["scaling_factor"]
        return Posterior(distribution.mean.float() * scale, distribution.std.float() * scale)

    @torch.no_grad()
    def decode(self, latents_BCHW: torch.Tensor) -> np.ndarray:
        """Pictures of latents, uint8 (B, H, W, 3)."""
        return to_pictures(_decoded(self.vae, latents_BCHW))

    def decoder(self) -> nn.Module:
        """A copy of the decoder that may be trained: latents to pictures in about -1..1."""
        return _Decoder(self.vae)

    def park(self, *, parked: bool) -> None:
        """Move the autoencoder to main memory, or back to the device.

        Apple's GPUs share the machine's memory: there it stays.
        """
        if self._device.type == "mps":
            return
        self.vae.to(torch.device("cpu") if parked else self._device)

    def move(self, device: torch.device) -> None:
        """Compute on another device from now on."""
        self._device = device
        self.vae.to(device)


class _Decoder(nn.Module):
    """A copy of an autoencoder without its encoder."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self._vae = copy.deepcopy(vae, {id(vae.encoder): nn.Identity()}).requires_grad_(True)
        # Its activations at full size are what fills a card.
        self._vae.enable_gradient_checkpointing()

    def forward(self, latents_BCHW: torch.Tensor) -> torch.Tensor:
        """Pictures in about -1..1; (B, 3, H, W)."""
        return _decoded(self._vae, latents_BCHW)


def _decoded(vae: AutoencoderKL, latents_BCHW: torch.Tensor) -> torch.Tensor:
    latents_BCHW = latents_BCHW.to(vae.device, vae.dtype)
    scale: float = vae.config["scaling_factor"]
    with torch.autocast(vae.device.type, enabled=False):
        decoded: Any = vae.decode(latents_BCHW / scale)
    return decoded.sample
