"""Noise of discrete diffusion: levels are timesteps of a fixed table of `alphas_cumprod`.

Shape legend: B batch, C latent channels, H and W latent size, T training timesteps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from engine.core.errors import UserError
from engine.families.contract import Solver
from engine.method.noise import add_noise, target

PREDICTIONS = ("epsilon", "v_prediction")


class DiscreteNoise:
    """The forward process of a scheduler's configuration (`scheduler_config.json`)."""

    def __init__(self, scheduler_config: Mapping[str, Any], device: torch.device) -> None:
        """Raises UserError for a model that predicts neither the noise nor the velocity."""
        scheduler = DDPMScheduler.from_config(dict(scheduler_config))
        self.config: dict[str, Any] = dict(scheduler_config)
        prediction: str = scheduler.config["prediction_type"]
        if prediction not in PREDICTIONS:
            raise UserError(
                f"this model predicts {prediction!r}; only epsilon and v_prediction train",
                "take another base model",
            )
        self.prediction = prediction
        self.alphas_cumprod_T: torch.Tensor = scheduler.alphas_cumprod.to(device)
        self.train_levels = len(self.alphas_cumprod_T)

    def draw(
        self, count: int, generator: torch.Generator, *, low: float = 0.0, high: float = 1.0
    ) -> torch.Tensor:
        """Uniform timesteps, as in the released script; int64 (B,)."""
        first = int(low * self.train_levels)
        end = max(first + 1, round(high * self.train_levels))
        return torch.randint(first, end, (count,), generator=generator)

    def add(
        self, latents_BCHW: torch.Tensor, noise_BCHW: torch.Tensor, levels_B: torch.Tensor
    ) -> torch.Tensor:
        """The latents with noise of their timestep; (B, C, H, W)."""
        return add_noise(latents_BCHW, noise_BCHW, levels_B, self.alphas_cumprod_T)

    def target(
        self, latents_BCHW: torch.Tensor, noise_BCHW: torch.Tensor, levels_B: torch.Tensor
    ) -> torch.Tensor:
        """The noise, or the velocity; (B, C, H, W)."""
        v = self.prediction == "v_prediction"
        return target(latents_BCHW, noise_BCHW, levels_B, self.alphas_cumprod_T, v_prediction=v)

    def solver(self, name: str, steps: int) -> Solver:
        """`ddim` (paper, section 4) or `dpm++` (2M, arXiv 2211.01095: fewer steps)."""
        return _DDIM(self.config, steps) if name == "ddim" else _DPM(self.config, steps)


class _DDIM:
    """Deterministic DDIM over evenly spaced timesteps (arXiv 2010.02502, eta 0)."""

    def __init__(self, config: Mapping[str, Any], steps: int) -> None:
        self._scheduler = DDIMScheduler.from_config(dict(config), clip_sample=False)
        self._scheduler.set_timesteps(steps)
        self.levels: list[int] = self._scheduler.timesteps.tolist()
        self._stride: int = self._scheduler.config["num_train_timesteps"] // steps

    def start(self, noise_BCHW: torch.Tensor) -> torch.Tensor:
        return noise_BCHW

    def network_input(self, latents_BCHW: torch.Tensor, index: int) -> torch.Tensor:  # noqa: ARG002
        return latents_BCHW

    def step(
        self, prediction_BCHW: torch.Tensor, index: int, latents_BCHW: torch.Tensor
    ) -> torch.Tensor:
        level = self.levels[index]
        return cast(
            torch.Tensor,
            self._scheduler.step(prediction_BCHW, level, latents_BCHW, return_dict=False)[0],
        )

    def level_after(self, index: int) -> int | None:
        level = self.levels[index] - self._stride
        return level if level >= 0 else None


class _DPM:
    """DPM-Solver++ (2M): two evaluations' history, as exact in 20 steps as DDIM in 50."""

    def __init__(self, config: Mapping[str, Any], steps: int) -> None:
        self._scheduler = DPMSolverMultistepScheduler.from_config(
            dict(config), algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=False
        )
        self._scheduler.set_timesteps(steps)
        self._timesteps = self._scheduler.timesteps
        self.levels: list[int] = self._timesteps.tolist()

    def start(self, noise_BCHW: torch.Tensor) -> torch.Tensor:
        return noise_BCHW * self._scheduler.init_noise_sigma

    def network_input(self, latents_BCHW: torch.Tensor, index: int) -> torch.Tensor:
        return self._scheduler.scale_model_input(latents_BCHW, self._timesteps[index])

    def step(
        self, prediction_BCHW: torch.Tensor, index: int, latents_BCHW: torch.Tensor
    ) -> torch.Tensor:
        level = self._timesteps[index]
        return cast(
            torch.Tensor,
            self._scheduler.step(prediction_BCHW, level, latents_BCHW, return_dict=False)[0],
        )

    def level_after(self, index: int) -> int | None:
        return self.levels[index + 1] if index + 1 < len(self.levels) else None
