"""Stable Diffusion 1.x and 2.x, and everything with their layout (the embedded model too).

Shape legend: B batch, C latent channels, H and W latent size, L prompt positions, D width, T
training timesteps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from engine.families.contract import Denoised, OnStep, Posterior
from engine.families.quiet import StableDiffusionPipeline
from engine.families.recorder import Recorder, layers_on_grid
from engine.families.tokens import PlaceholderEmbedding

EMBEDDING_PREFIX = "text_encoder.placeholder."


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
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.vae = vae
        self.device = device
        self.scheduler_config = scheduler_config
        scheduler = DDPMScheduler.from_config(scheduler_config)
        self.alphas_cumprod_T: torch.Tensor = scheduler.alphas_cumprod
        self.v_prediction = scheduler.config["prediction_type"] == "v_prediction"
        self.latent_channels: int = vae.config["latent_channels"]
        self._factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.resolution: int = unet.config["sample_size"] * self._factor
        for model in (unet, text_encoder, vae):
            model.requires_grad_(False).eval()
            model.to(device)

    def latent_size(self, resolution: int) -> int:
        """Side of the latents of a square picture."""
        return resolution // self._factor

    @torch.no_grad()
    def encode_image(self, pixels_BCHW: torch.Tensor) -> Posterior:
        """VAE posterior of pictures in -1..1."""
        pixels_BCHW = pixels_BCHW.to(self.vae.device, self.vae.dtype)
        encoded: Any = self.vae.encode(pixels_BCHW)
        distribution = encoded.latent_dist
        scale: float = self.vae.config["scaling_factor"]
        return Posterior(distribution.mean.float() * scale, distribution.std.float() * scale)

    @torch.no_grad()
    def decode(self, latents_BCHW: torch.Tensor) -> np.ndarray:
        """Pictures of latents, uint8 (B, H, W, 3)."""
        latents_BCHW = latents_BCHW.to(self.vae.device, self.vae.dtype)
        scale: float = self.vae.config["scaling_factor"]
        decoded: Any = self.vae.decode(latents_BCHW / scale)
        pixels_BHWC = (decoded.sample.float().clamp(-1, 1) + 1).permute(0, 2, 3, 1) * 127.5
        return pixels_BHWC.round().to(torch.uint8).cpu().numpy()

    def encode_text(self, input_ids_BL: torch.Tensor) -> torch.Tensor:
        """Last hidden states of the text encoder (B, L, D)."""
        return self.text_encoder(input_ids_BL).last_hidden_state

    def predict(
        self, noised_BCHW: torch.Tensor, timesteps_B: torch.Tensor, states_BLD: torch.Tensor
    ) -> torch.Tensor:
        """The UNet's output (B, C, H, W)."""
        return self.unet(noised_BCHW, timesteps_B, states_BLD, return_dict=False)[0]

    def layers_on_grid(self, resolution: int, grid: int) -> tuple[str, ...]:
        """Cross-attention layers of the down and up blocks with a grid x grid query."""
        return layers_on_grid(self.unet, self.latent_size(resolution), grid)

    def trainable(self, part: str) -> dict[str, nn.Parameter]:
        """Named weights of a part: all, unet, cross-attention, none."""
        everything = self.weights()
        if part == "all":
            return everything
        unet = {name: p for name, p in everything.items() if name.startswith("unet.")}
        if part == "unet":
            return unet
        if part == "cross-attention":
            kinds = (".attn2.to_k.", ".attn2.to_v.")
            return {name: p for name, p in unet.items() if any(kind in name for kind in kinds)}
        assert part == "none", part
        return {}

    def weights(self) -> dict[str, nn.Parameter]:
        """UNet and text encoder, the input embedding excluded."""
        embedding = self.text_encoder.get_input_embeddings()
        own = {id(parameter) for parameter in embedding.parameters()}
        named = {f"unet.{name}": p for name, p in self.unet.named_parameters()}
        for name, parameter in self.text_encoder.named_parameters():
            if id(parameter) not in own:
                named[f"text_encoder.{name}"] = parameter
        return named

    @property
    def placeholders(self) -> PlaceholderEmbedding:
        """The placeholder rows, once `tokens.add_placeholders` has put them in."""
        embedding = self.text_encoder.get_input_embeddings()
        assert isinstance(embedding, PlaceholderEmbedding), "no placeholder tokens were added"
        return embedding

    def recorder(self, layers: Sequence[str], *, plain_attention: bool) -> Recorder:
        """A recorder of these layers' cross-attention, to be entered for the training."""
        return Recorder(self.unet, layers, plain_attention=plain_attention)

    def checkpoint_activations(self) -> None:
        """Recompute the UNet's activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()

    def park_vae(self, *, parked: bool) -> None:
        """Move the VAE to main memory, or back to the device."""
        self.vae.to(torch.device("cpu") if parked else self.device)

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
        """Sample with DDIM, `batch` pictures at once; the starting noise is drawn on the CPU."""
        pipeline: Any = StableDiffusionPipeline(
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=DDIMScheduler.from_config(self.scheduler_config, clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        side = self.latent_size(resolution or self.resolution)
        shape = (1, self.latent_channels, side, side)
        wanted = list(zip(prompts, seeds, strict=True))
        for first in range(0, len(wanted), batch):
            some = wanted[first : first + batch]
            starts = [
                torch.randn(shape, generator=torch.Generator().manual_seed(s)) for _, s in some
            ]

            def step_done(
                _pipe: Any, step: int, _time: Any, values: dict[str, Any], first: int = first
            ) -> dict[str, Any]:
                if on_step is not None:
                    for row, latents_CHW in enumerate(values["latents"]):
                        on_step(Denoised(first + row, step + 1, latents_CHW[None]))
                return values

            with torch.inference_mode():
                latents_BCHW: Any = pipeline(
                    [prompt for prompt, _ in some],
                    negative_prompt=[negative] * len(some) if negative else None,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    latents=torch.cat(starts).to(self.device, self.unet.dtype),
                    output_type="latent",
                    callback_on_step_end=step_done,
                ).images
            yield from self.decode(latents_BCHW)
