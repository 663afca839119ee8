"""Pictures to latents and back by a KL autoencoder.

Shape legend: B batch, C latent channels, H and W latent size or picture size in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL

from engine.families.contract import Posterior


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
        pixels_BCHW = _pixels(pictures_BHWC).to(self.vae.device, self.vae.dtype)
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded: Any = self.vae.encode(pixels_BCHW)
        distribution = encoded.latent_dist
        scale: float = self.vae.config["scaling_factor"]
        return Posterior(distribution.mean.float() * scale, distribution.std.float() * scale)

    @torch.no_grad()
    def decode(self, latents_BCHW: torch.Tensor) -> np.ndarray:
        """Pictures of latents, uint8 (B, H, W, 3)."""
        latents_BCHW = latents_BCHW.to(self.vae.device, self.vae.dtype)
        scale: float = self.vae.config["scaling_factor"]
        with torch.autocast(self.vae.device.type, enabled=False):
            decoded: Any = self.vae.decode(latents_BCHW / scale)
        pixels_BHWC = (decoded.sample.float().clamp(-1, 1) + 1).permute(0, 2, 3, 1) * 127.5
        return pixels_BHWC.round().to(torch.uint8).cpu().numpy()

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


def _pixels(pictures_BHWC: np.ndarray) -> torch.Tensor:
    """uint8 pictures as the autoencoder reads them: -1..1, float (B, 3, H, W)."""
    pixels_BHWC = torch.from_numpy(np.array(pictures_BHWC, order="C")).float() / 127.5 - 1
    return pixels_BHWC.permute(0, 3, 1, 2)
