"""Every number of a run, as frozen dataclasses with the paper's values as defaults.

The objects stop at the composition root (`engine.hosts.train`, `engine.training.loop`): the leaves
below take plain values. `engine.core.settings` reads them from TOML files and from `key=value`
words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from engine.core.errors import UserError
from engine.core.method_config import (
    DataConfig,
    LoraConfig,
    LossConfig,
    OptimizerConfig,
    Phase1Config,
    Phase2Config,
    check,
)
from engine.core.prompt_grammar import Grammar

DEVICES = r"auto|cpu|mps|cuda(:\d+)?"


def gpu_number(device: str) -> int:
    """Which of several GPUs a `device` names; the first where it names none."""
    return int(device.partition(":")[2] or 0)


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """What a run shows while it trains; nothing here changes the training."""

    every: int = 100
    """Steps between preview pictures; 0: only on request."""

    steps: int = 20
    """Denoising steps of a preview picture."""

    sampler: Literal["ddim", "dpm++"] = "ddim"
    """What draws it; `dpm++` shows more in as few steps."""

    attention_every: int = 5
    """Steps between attention-map events; 0 switches them off."""

    seed: int = 0
    """Seed of the preview pictures' own generator."""

    def __post_init__(self) -> None:
        check(self.every >= 0, "preview.every", "0 or more", self.every)
        check(self.steps >= 1, "preview.steps", "1 or more", self.steps)
        check(
            self.attention_every >= 0, "preview.attention_every", "0 or more", self.attention_every
        )


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Defaults for making pictures with the learned concepts (paper: DDIM, 50 steps, 7.5)."""

    steps: int = 50
    """DDIM steps of a picture."""

    guidance: float = 7.5
    """Classifier-free guidance scale; 1 switches it off."""

    missing_below: float = 0.0
    """A thing whose presence (`engine.drawing.verdict`) is below this is called missing beside the
    picture. 0: no words, pictures are only sorted by it, as on every base where it is not measured.
    """

    def __post_init__(self) -> None:
        check(self.missing_below >= 0, "sampling.missing_below", "0 or more", self.missing_below)
        check(self.steps >= 1, "sampling.steps", "1 or more", self.steps)
        check(self.guidance >= 0, "sampling.guidance", "0 or more", self.guidance)


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """What a person says of the base model, where the model itself says nothing or wrong."""

    prediction: Literal["auto", "epsilon", "v", "v_prediction", "eps"] = "auto"
    """What it predicts: the noise (epsilon) or the velocity (v). auto: what its files say."""

    vae: str = ""
    """An autoencoder in place of its own: a folder or a .safetensors file."""

    @property
    def predicts(self) -> Literal["epsilon", "v_prediction", ""]:
        """In the libraries' word; empty for auto."""
        if self.prediction == "auto":
            return ""
        return "v_prediction" if self.prediction.startswith("v") else "epsilon"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole run. `--set phase1.steps=20` changes one value, a TOML file many."""

    seed: int = 0
    """Seed of everything random in the run. On one CPU thread (OMP_NUM_THREADS=1) equal seeds give
    equal runs to the last bit; with more threads, or on a GPU, rounding makes them drift apart."""

    resolution: int = 0
    """Side of the square training picture in pixels; 0: the base model's own."""

    batch_size: int = 1
    """Samples per forward pass; each draws its own subset of the concepts."""

    gradient_accumulation: int = 1
    """Forward passes per optimiser step."""

    gpus: int = 1
    """Processes that share the passes of a step, each on a GPU of its own; gradient_accumulation
    must be a multiple of it. The same samples are seen, so a run may go on with another number."""

    checkpoint_every: int = 200
    """Steps between checkpoints of phase 1; the phase switch always has one."""

    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints of phase 2, which are large (13.9 GB where every weight of
    Stable Diffusion moves); 0: by steps, as in phase 1."""

    checkpoint_keep: int = 2
    """How many checkpoints stay on disk; a damaged newest one is passed over for the one before."""

    checkpoint_keep_after: bool = False
    """Keep them when the run has finished: its concepts are complete without."""

    prompt: str = "a photo of"
    """Words before the tokens: `a photo of <asset0> and <asset1>`."""

    prompt_join: Literal["and", "comma"] = "and"
    """How several things are named. `and`: `a and b and c` (the paper). `comma`: `a, b and c`."""

    prompt_article: bool = False
    """An article before every token, as nouns have it: `a photo of a <asset0>`. A prompt without
    is read with it."""

    prompt_nouns: bool = False
    """Every token is followed by its start word where it has one: `<asset0> cup` (not in the paper;
    AttnDreamBooth, arXiv 2406.05000)."""

    initializer: str = ""
    """Words whose mean, with a little noise, starts every token that has no word of its own; empty:
    the whole vocabulary's mean and spread."""

    initializer_search: bool = False
    """Give every token without a word of its own the noun with which the base model predicts its
    thing best, found before the first step (`--init auto`)."""

    initializer_nouns: str = ""
    """The nouns that are tried, with commas between them; empty: some 280 of everyday life."""

    device: str = "auto"
    """auto (cuda, else mps, else cpu), cuda, cuda:1 (one of several GPUs), mps or cpu."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on cuda (fp16 before Ampere), fp32 elsewhere. On a GPU all weights compute in it;
    what trains has fp32 masters."""

    gradient_checkpointing: bool = False
    """Recompute activations in backward: less memory, about a fifth slower."""

    base: BaseConfig = field(default_factory=BaseConfig)
    phase1: Phase1Config = field(default_factory=Phase1Config)
    phase2: Phase2Config = field(default_factory=Phase2Config)
    lora: LoraConfig = field(default_factory=LoraConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        check(self.resolution >= 0, "resolution", "0 or more", self.resolution)
        check(self.batch_size >= 1, "batch_size", "1 or more", self.batch_size)
        check(
            self.gradient_accumulation >= 1,
            "gradient_accumulation",
            "1 or more",
            self.gradient_accumulation,
        )
        check(
            self.gpus >= 1 and self.gradient_accumulation % self.gpus == 0,
            "gpus",
            f"1 or more and divide gradient_accumulation ({self.gradient_accumulation})",
            self.gpus,
        )
        kinds = "auto, cuda, cuda:1 (or another number), mps or cpu"
        check(re.fullmatch(DEVICES, self.device) is not None, "device", kinds, self.device)
        check(self.checkpoint_every >= 1, "checkpoint_every", "1 or more", self.checkpoint_every)
        check(
            self.checkpoint_minutes >= 0, "checkpoint_minutes", "0 or more", self.checkpoint_minutes
        )
        check(self.checkpoint_keep >= 1, "checkpoint_keep", "1 or more", self.checkpoint_keep)
        if self.total_steps == 0:
            raise UserError("a run needs at least one step", "raise phase1.steps or phase2.steps")

    @property
    def grammar(self) -> Grammar:
        """How prompts speak of the things."""
        return Grammar(join=self.prompt_join, article=self.prompt_article, nouns=self.prompt_nouns)

    @property
    def needs_prior(self) -> bool:
        """Whether a run trains on prior pictures. Clipping by the whole embedding's gradient sees
        them in phase 1, too."""
        wanted = self.phase2.steps > 0 or self.optimizer.clip_whole_embedding
        return wanted and self.loss.prior_weight > 0

    @property
    def total_steps(self) -> int:
        """Optimiser steps of both phases together."""
        return self.phase1.steps + self.phase2.steps
