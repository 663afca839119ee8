"""The forward diffusion process as pure functions (DDPM, arXiv 2006.11239; v: arXiv 2202.00512).

Shape legend: B batch, C latent channels, H and W latent height and width, T training timesteps.
"""

from __future__ import annotations

import torch


def add_noise(
    latents_BCHW: torch.Tensor,
    noise_BCHW: torch.Tensor,
    timesteps_B: torch.Tensor,
    alphas_cumprod_T: torch.Tensor,
) -> torch.Tensor:
    """Noised latents: `sqrt(a_t) * z + sqrt(1 - a_t) * eps`; (B, C, H, W)."""
    signal_B111, noise_B111 = _scales(timesteps_B, alphas_cumprod_T, latents_BCHW)
    return signal_B111 * latents_BCHW + noise_B111 * noise_BCHW


def velocity(
    latents_BCHW: torch.Tensor,
    noise_BCHW: torch.Tensor,
    timesteps_B: torch.Tensor,
    alphas_cumprod_T: torch.Tensor,
) -> torch.Tensor:
    """Target of a v-prediction model: `sqrt(a_t) * eps - sqrt(1 - a_t) * z`; (B, C, H, W)."""
    signal_B111, noise_B111 = _scales(timesteps_B, alphas_cumprod_T, latents_BCHW)
    return signal_B111 * noise_BCHW - noise_B111 * latents_BCHW


def target(
    latents_BCHW: torch.Tensor,
    noise_BCHW: torch.Tensor,
    timesteps_B: torch.Tensor,
    alphas_cumprod_T: torch.Tensor,
    *,
    v_prediction: bool,
) -> torch.Tensor:
    """What the UNet has to predict: the velocity, or the noise itself; (B, C, H, W)."""
    if v_prediction:
        return velocity(latents_BCHW, noise_BCHW, timesteps_B, alphas_cumprod_T)
    return noise_BCHW


def _scales(
    timesteps_B: torch.Tensor, alphas_cumprod_T: torch.Tensor, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    alphas_B111 = alphas_cumprod_T.to(like)[timesteps_B].view(-1, 1, 1, 1)
    return alphas_B111.sqrt(), (1 - alphas_B111).sqrt()
