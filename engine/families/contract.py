"""The Protocol every pipeline family fulfils.

Shape legend: B batch, C latent channels, H and W latent size, L prompt positions, D width, T
training timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizer, PreTrainedModel

from engine.families.recorder import Recorder


class Posterior(NamedTuple):
    """The VAE's posterior in latent units (scaling factor applied); both (B, C, H, W)."""

    mean: torch.Tensor
    std: torch.Tensor


class Denoised(NamedTuple):
    """One denoising step of a picture that is being generated."""

    picture: int
    """Which picture of the request, from 0."""
    step: int
    """1..steps."""
    latents: torch.Tensor
    """(1, C, H, W)."""


class Cancelled(Exception):
    """Raised by an `on_step` callback to end a generation early."""


OnStep = Callable[[Denoised], None]


class Family(Protocol):
    """A loaded base model: the composition root chooses one, nobody asks which it is."""

    name: str
    resolution: int
    """Native side of a square picture, pixels."""
    latent_channels: int
    v_prediction: bool
    alphas_cumprod_T: torch.Tensor
    tokenizer: CLIPTokenizer
    device: torch.device

    # Read-only, so that a family may hold a narrower type.
    @property
    def text_encoder(self) -> PreTrainedModel:
        """The text encoder, whose input embedding takes the placeholder tokens."""
        ...

    @property
    def unet(self) -> nn.Module:
        """The denoising network."""
        ...

    def latent_size(self, resolution: int) -> int:
        """Side of the latents of a square picture."""
        ...

    def encode_image(self, pixels_BCHW: torch.Tensor) -> Posterior:
        """VAE posterior of pictures in -1..1, float (B, 3, H, W)."""
        ...

    def decode(self, latents_BCHW: torch.Tensor) -> np.ndarray:
        """Pictures of latents, uint8 (B, H, W, 3)."""
        ...

    def encode_text(self, input_ids_BL: torch.Tensor) -> torch.Tensor:
        """Text states (B, L, D)."""
        ...

    def predict(
        self, noised_BCHW: torch.Tensor, timesteps_B: torch.Tensor, states_BLD: torch.Tensor
    ) -> torch.Tensor:
        """The UNet's output (B, C, H, W)."""
        ...

    def layers_on_grid(self, resolution: int, grid: int) -> tuple[str, ...]:
        """Attention layers to supervise; raises UserError when there are none on that grid."""
        ...

    def trainable(self, part: str) -> dict[str, nn.Parameter]:
        """Named weights of a part: all, unet, cross-attention, none (token rows excluded)."""
        ...

    def weights(self) -> dict[str, nn.Parameter]:
        """Every weight that training may change, by the same names as `trainable`."""
        ...

    def recorder(self, layers: Sequence[str], *, plain_attention: bool) -> Recorder:
        """A recorder of these layers' cross-attention, to be entered for the training."""
        ...

    def checkpoint_activations(self) -> None:
        """Trade time for memory: recompute activations in the backward pass."""
        ...

    def park_vae(self, *, parked: bool) -> None:
        """Move the VAE out of the accelerator's memory, or back."""
        ...

    def generate(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        steps: int,
        guidance: float,
        negative: str = "",
        resolution: int | None = None,
        on_step: OnStep | None = None,
        batch: int = 1,
    ) -> Iterator[np.ndarray]:
        """Sample one picture per prompt and seed, uint8 (H, W, 3) each (DDIM, paper section 4).

        With the `batch` of 1 a picture depends on its own prompt and seed alone. Larger batches
        are faster; a picture's neighbours then change its last bits, and nothing else. Raises
        Cancelled when `on_step` does.
        """
        ...
