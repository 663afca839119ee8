"""Trains text encoder and UNet together on cached latents.

Shapes: B batch, C latent channels, h = w = 16, O objects (padded), T tokens.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import CLIPTokenizer

from engine.families.devices import mixed_precision
from engine.pocket.recipe import base_model, checkpoint, latents, optim
from engine.pocket.recipe.attention import use_plain_attention
from engine.pocket.recipe.distributed import Team
from engine.pocket.recipe.muon import Muon
from engine.pocket.recipe.tokenizer import END, MAX_TOKENS, START


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """How the base model is trained."""

    batch: int = 24
    """Samples a step in each process."""

    rate: float = 1.5e-3
    warmup: int = 100
    horizon: float = 0.999
    """Of the averaged weights."""

    weight_decay: float = 0.01
    object_weight: float = 3.0
    """Extra loss weight of latent cells that an object covers."""

    attention_weight: float = 0.1
    attention_below: int = 700
    """Timestep from which on noise hides where things are, so that maps are not supervised."""

    empty_share: float = 0.1
    """Share of samples with an empty caption, for guidance."""

    seed: int = 41


class Batch(NamedTuple):
    """One training batch with its draws."""

    latents: torch.Tensor
    """(B, C, h, w) float32, scaled."""

    masks: torch.Tensor
    """(B, O, h, w) float32 in 0..1."""

    ids: torch.Tensor
    """(B, T) int64."""

    positions: torch.Tensor
    """(B, O) int64, 0 for none."""

    noise: torch.Tensor
    """Like ``latents``."""

    timesteps: torch.Tensor
    """(B,) int64."""


def draw(
    scenes: latents.Scenes,
    empty_ids: torch.Tensor,
    scale: float,
    config: BaseConfig,
    rng: np.random.Generator,
) -> Batch:
    """Draw a batch; timesteps are stratified over the batch."""
    rows = torch.from_numpy(rng.integers(len(scenes.latents), size=config.batch))
    clean = scenes.latents[rows].float() * scale
    ids, positions = scenes.ids[rows].long(), scenes.positions[rows].long()
    empty = torch.from_numpy(rng.random(config.batch) < config.empty_share)
    ids[empty] = empty_ids
    positions[empty] = 0
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(clean.shape, generator=generator)
    phase = (np.arange(config.batch) + rng.random()) / config.batch
    # Twice as dense in the middle as at the ends: there shapes are decided.
    phase = phase + 0.4 * np.sin(2 * np.pi * phase) / (2 * np.pi)
    timesteps = torch.from_numpy((phase * 1000).astype(np.int64)).clamp(0, 999)
    masks = scenes.masks[rows].float() / 255
    return Batch(clean, masks, ids, positions, noise, timesteps)


def velocity_loss(
    predicted_BChw: torch.Tensor, target_BChw: torch.Tensor, masks_BOhw: torch.Tensor, extra: float
) -> torch.Tensor:
    """Squared error of the velocity, object cells weighing 1 + ``extra``; per sample, (B,)."""
    weight = 1 + extra * masks_BOhw.amax(1, keepdim=True)
    return ((predicted_BChw - target_BChw).square() * weight).mean((1, 2, 3))


def attention_loss(
    maps_BQT: torch.Tensor, masks_BOhw: torch.Tensor, positions_BO: torch.Tensor
) -> torch.Tensor:
    """Squared error between each object word's map, over its own maximum, and the object's mask.

    Returns (B, O); zero where there is no object (Break-A-Scene, section 3.2).
    """
    index = positions_BO[:, None].expand(-1, maps_BQT.shape[1], -1)
    maps_BOQ = maps_BQT.gather(2, index).transpose(1, 2)
    maps_BOQ = maps_BOQ / maps_BOQ.amax(2, keepdim=True).clamp_min(1e-8)
    error = (maps_BOQ - masks_BOhw.flatten(2)).square().mean(2)
    return error * (positions_BO > 0)


class Trainer:
    """Model, optimiser and averaged weights, and one step of training."""

    def __init__(
        self,
        config: BaseConfig,
        shape: base_model.BaseShape,
        tokenizer: CLIPTokenizer,
        scale: float,
        device: str = "cpu",
    ):
        torch.manual_seed(config.seed)
        self.config, self.scale, self.device = config, scale, device
        start, end = (tokenizer.convert_tokens_to_ids(token) for token in (START, END))
        self.text = base_model.build_text_encoder(shape, len(tokenizer), start, end)
        self.unet = base_model.build_unet(shape)
        for model in (self.text, self.unet):
            model.to(torch.device(device)).train()
        self.maps = use_plain_attention(self.unet)
        # diffusers' annotations of the parts' calls are narrower than what they accept.
        self.scheduler: Any = base_model.build_scheduler()
        self.run_text: Any = self.text
        self.run_unet: Any = self.unet
        empty = tokenizer("", padding="max_length", max_length=MAX_TOKENS).input_ids
        self.empty_ids = torch.tensor(empty)
        named = [(f"unet.{name}", p) for name, p in self.unet.named_parameters()]
        named += [(f"text.{name}", p) for name, p in self.text.named_parameters()]
        self.names = [name for name, _ in named]
        self.weights = [p for _, p in named]
        # Muon is for what maps features to features; lookups, ends and vectors have no such map.
        ends = ("embedding.weight", "conv_in.weight", "conv_out.weight")
        matrices = [p for name, p in named if p.ndim > 1 and not name.endswith(ends)]
        others = [p for name, p in named if p.ndim <= 1 or name.endswith(ends)]
        self.muon = Muon(matrices, config.weight_decay)
        self.adamw = torch.optim.AdamW(
            others, config.rate, (0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.average = optim.Average(self.weights, config.horizon)
        self.step = self.seen = 0
        self.decay_from, self.decay_steps = -1, 0

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Velocity loss (B,), attention loss (scalar), plain velocity error (B,) for the log."""
        batch = Batch(*(part.to(self.device) for part in batch))
        noised = self.scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        target = self.scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
        self.maps.start()
        with mixed_precision(self.device):
            states = self.run_text(batch.ids)[0]
            predicted = self.run_unet(noised, batch.timesteps, states).sample
        maps = self.maps.finish()
        predicted = predicted.float()
        velocity = velocity_loss(predicted, target, batch.masks, self.config.object_weight)
        visible = (batch.timesteps < self.config.attention_below)[:, None]
        looked = (batch.positions > 0) & visible
        attention = attention_loss(maps, batch.masks, batch.positions) * visible
        attention = attention.sum() / looked.sum().clamp_min(1)
        plain = (predicted - target).square().mean((1, 2, 3)).detach()
        return velocity, attention, plain

    def train_step(self, batch: Batch, team: Team) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step; attention loss and plain error (B,) for the log."""
        rate = optim.schedule(
            self.step,
            rate=self.config.rate,
            warmup=self.config.warmup,
            decay_from=self.decay_from,
            decay_steps=self.decay_steps,
        )
        self.adamw.param_groups[0]["lr"] = rate
        velocity, attention, plain = self.losses(batch)
        for weight in self.weights:
            weight.grad = None
        (velocity.mean() + self.config.attention_weight * attention).backward()
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        team.average(self.weights)
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.adamw.step()
        self.muon.step(rate, team)
        self.average.update(self.step)
        self.step += 1
        self.seen += self.config.batch * team.world
        return attention.detach(), plain

    def save(self, folder: Path) -> None:
        """Write everything that a later piece needs to go on exactly."""
        facts = {
            "step": self.step,
            "seen": self.seen,
            "decay_from": self.decay_from,
            "decay_steps": self.decay_steps,
            "scale": self.scale,
        }
        states = {**self.adamw.state, **self.muon.state}
        tensors = optim.pack(self.names, self.weights, states, self.average)
        checkpoint.save(folder, tensors, facts)

    def resume(self, folder: Path) -> None:
        """Go on from what ``save`` wrote."""
        tensors, facts = checkpoint.load(folder)
        states: dict[torch.Tensor, dict[str, torch.Tensor]] = {}
        optim.unpack(tensors, self.names, self.weights, states, self.average)
        for weight, state in states.items():
            (self.adamw if "exp_avg_sq" in state else self.muon).state[weight] = state
        self.step, self.seen = facts["step"], facts["seen"]
        self.decay_from, self.decay_steps = facts["decay_from"], facts["decay_steps"]

    @property
    def finished(self) -> bool:
        """Whether a decay has run its course."""
        return self.decay_from >= 0 and self.step >= self.decay_from + self.decay_steps


def train(
    trainer: Trainer,
    scenes: latents.Scenes,
    folder: Path,
    team: Team,
    minutes: float,
    decay_steps: int = 0,
) -> bool:
    """Train for some minutes, from the state in ``folder`` if there is one.

    Args:
        decay_steps: above 0: let the learning rate fall over this many steps from now on. The state
            before is kept as ``state-flat``, to go on from when there is more time. After a
            finished decay: a new one, from the full rate.

    Returns:
        Whether the decay is finished.
    """
    state = folder / "state"
    if checkpoint.exists(state):
        trainer.resume(state)
    if decay_steps and (trainer.decay_from < 0 or trainer.finished):
        if team.leader:
            trainer.save(folder / "state-flat")
        trainer.decay_from, trainer.decay_steps = trainer.step, decay_steps
    clock = optim.Deadline(minutes)
    saved = shown_at = clock.seconds()
    bins, counts, looked = np.zeros(4), np.zeros(4), 0.0
    while not trainer.finished and not team.agree(clock.passed()):
        rng = np.random.default_rng([trainer.config.seed, trainer.step, team.rank])
        batch = draw(scenes, trainer.empty_ids, trainer.scale, trainer.config, rng)
        attention, plain = trainer.train_step(batch, team)
        quarter = (batch.timesteps // 250).numpy()
        np.add.at(bins, quarter, plain.cpu().numpy())
        np.add.at(counts, quarter, 1)
        looked = attention.item() if not looked else 0.98 * looked + 0.02 * attention.item()
        if team.leader and trainer.step % 100 == 0:
            spent = clock.seconds() - shown_at
            speed = 100 * trainer.config.batch * team.world / spent
            quarters = " ".join(f"{value:.3f}" for value in bins / counts.clip(1))
            print(
                f"base {trainer.step} seen {trainer.seen} {clock.seconds():.0f}s "
                f"loss {bins.sum() / counts.sum():.4f} quarters {quarters} "
                f"attention {looked:.4f} {speed:.1f}/s",
                flush=True,
            )
            bins[:], counts[:], shown_at = 0, 0, clock.seconds()
        if team.leader and clock.seconds() - saved > 240:
            trainer.save(state)
            saved = clock.seconds()
    if team.leader:
        trainer.save(state)
    return trainer.finished
