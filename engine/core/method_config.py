"""The numbers of the method: phases, losses, samples, optimiser, with the paper's values.

`engine.core.config` puts them into a whole run's configuration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from engine.core.errors import UserError

PAPER_MAX_CONCEPTS = 4
"""The paper reports good results for up to four concepts (section 5, limitations)."""


def check(condition: bool, key: str, rule: str, value: object) -> None:
    """Raise UserError unless a setting keeps its rule."""
    if not condition:
        raise UserError(f"{key} must be {rule}, not {value!r}", f"change it with --set {key}=...")


@dataclass(frozen=True, kw_only=True)
class Phase1Config:
    """Phase 1: only the new token rows are trained (paper, section 3.1)."""

    steps: int = 400
    """Optimiser steps; 0 skips the phase (the ablation "w/o phase 1")."""

    learning_rate: float = 5e-4
    """High, because only the new rows move."""

    def __post_init__(self) -> None:
        check(self.steps >= 0, "phase1.steps", "0 or more", self.steps)
        check(self.learning_rate > 0, "phase1.learning_rate", "above 0", self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class Phase2Config:
    """Phase 2: model weights and rows are trained together (paper, section 3.1)."""

    steps: int = 400
    """Optimiser steps; 0 stops after phase 1."""

    learning_rate: float = 0.0
    """0: 2e-6, low because every weight moves; 1e-4 for a low-rank change."""

    train: Literal["all", "unet", "cross-attention", "lora", "none"] = "all"
    """`all`: UNet and text encoder (the paper). `unet`: the UNet only. `cross-attention`: keys and
    values of the UNet's cross-attention (Custom Diffusion). `lora`: a low-rank change of them all
    (see lora.*; much less memory). `none`: the rows only (Textual Inversion). The rows train along
    in every case."""

    noise_low: float = 0.0
    """Least noise of a sample, as a share of the noise schedule."""

    noise_high: float = 1.0
    """Most noise; below 1 the weights learn looks, and what stands where stays the base model's
    (not in the paper)."""

    @property
    def rate(self) -> float:
        """The learning rate that is meant."""
        return self.learning_rate or (1e-4 if self.train == "lora" else 2e-6)

    def __post_init__(self) -> None:
        check(self.steps >= 0, "phase2.steps", "0 or more", self.steps)
        check(self.learning_rate >= 0, "phase2.learning_rate", "0 or more", self.learning_rate)
        check(0 <= self.noise_low < 1, "phase2.noise_low", "in [0, 1)", self.noise_low)
        check(
            self.noise_low < self.noise_high <= 1,
            "phase2.noise_high",
            "above phase2.noise_low, up to 1",
            self.noise_high,
        )


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The low-rank change of `phase2.train = "lora"` (arXiv 2106.09685)."""

    rank: int = 32
    """Rank of the change of each layer; more holds more of a thing's looks, in a larger file."""

    layers: Literal["all", "attention"] = "all"
    """`all`: every linear and convolution layer. `attention`: those of attention blocks alone,
    which lose a thing's looks: more than half of a full run's change lies in convolutions."""

    text_encoder: bool = True
    """Adapt the text encoders too."""

    def __post_init__(self) -> None:
        check(1 <= self.rank <= 1024, "lora.rank", "from 1 to 1024", self.rank)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The parts of the loss, method equations 1-3."""

    masked: bool = True
    """Masked diffusion loss (equation 1); false: the plain loss over the whole picture."""

    divide_by_area: bool = False
    """Divide the masked loss by the mask's share of the picture. The released script does not."""

    balanced: bool = False
    """Every sampled concept weighs the same in the masked loss, however small it is (not in the
    paper); the whole keeps its size."""

    latent_mask: Literal["nearest", "area", "touch", "grown"] = "nearest"
    """The masks on the latents' grid. `nearest`: the sampled pixel decides (the released script);
    parts thinner than a cell are lost. `area`: by the share of the cell. `touch`: every cell that
    the mask touches. `grown`: nearest and the cells around, so that the edge is learned too."""

    attention: Literal["peak", "competing"] = "peak"
    """`peak`: each map divided by its own maximum against its mask (equation 2). `competing`: its
    share among all of the prompt's words, as a probability (PartCraft, arXiv 2407.04604)."""

    attention_weight: float = 0.01
    """lambda of the cross-attention loss (equation 3); 0 switches it off."""

    attention_grid: int = 0
    """Side of the query grid of the cross-attention layers that are supervised; 0: a quarter of the
    latents' side (16 on Stable Diffusion at 512 px, as in the paper; 32 on SDXL at 1024 px)."""

    prior_weight: float = 1.0
    """Weight of prior preservation in phase 2; 0 switches it off and needs no prior images."""

    prior_images: int = 100
    """How many pictures of the base model serve as the prior."""

    prior_prompt: str = "a photo at the beach"
    """Prompt of the prior pictures (the released script's default)."""

    prior_steps: int = 50
    """Denoising steps for each prior picture."""

    prior_sampler: Literal["ddim", "dpm++"] = "ddim"
    """What draws them. `ddim`: the paper's, 50 steps. `dpm++`: 20 steps do (prior_steps=20)."""

    def __post_init__(self) -> None:
        check(
            self.attention_weight >= 0, "loss.attention_weight", "0 or more", self.attention_weight
        )
        if self.balanced and self.divide_by_area:
            raise UserError(
                "loss.balanced and loss.divide_by_area exclude each other",
                "switch one of them off",
            )
        check(self.attention_grid >= 0, "loss.attention_grid", "0 or more", self.attention_grid)
        check(self.prior_weight >= 0, "loss.prior_weight", "0 or more", self.prior_weight)
        check(self.prior_images >= 1, "loss.prior_images", "1 or more", self.prior_images)
        check(self.prior_steps >= 1, "loss.prior_steps", "1 or more", self.prior_steps)


COLOURS = {
    "white": "#ffffff", "black": "#000000", "gray": "#808080", "red": "#e02020",
    "orange": "#ff9020", "yellow": "#ffe030", "green": "#30a040", "blue": "#3060e0",
    "purple": "#8040b0", "pink": "#ffa0c0", "brown": "#805030",
}  # fmt: skip
"""Plain grounds by name; a base model that means another colour by a name gets it with the name."""


def parse_grounds(words: str) -> dict[str, tuple[int, int, int]]:
    """Colour name -> RGB of `data.grounds`; raises UserError for none or an unknown one."""
    colours: dict[str, tuple[int, int, int]] = {}
    for word in words.split():
        name, _, value = word.partition("=")
        found = re.fullmatch(r"#([0-9a-f]{6})", value or COLOURS.get(name, ""), re.IGNORECASE)
        if not name or found is None:
            raise UserError(
                f"data.grounds: {word!r} is no colour",
                f"write one of {', '.join(COLOURS)}, or a name=#rrggbb",
            )
        red, green, blue = bytes.fromhex(found.group(1))
        colours[name] = red, green, blue
    check(bool(colours), "data.grounds", "one colour or more", words)
    return colours


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What one training sample shows."""

    union_sampling: bool = True
    """Draw a random subset of the concepts every step (section 3.3); false: always one concept."""

    flip: float = 0.5
    """Probability of a mirrored sample; 0 keeps things the way round that they are (lettering)."""

    crop: float = 0.0
    """Probability of a random crop that holds every sampled concept (not in the paper)."""

    crop_min_side: float = 0.6
    """Smallest side of such a crop, as a share of the picture's side."""

    crop_beyond: float = 0.0
    """How far such a crop may reach over the picture's left and right, as a share of its side: its
    ground goes on mirrored there, and a thing from the left stands anywhere (not in the paper)."""

    cutouts: bool = False
    """Paste the sampled concepts on a random plain background (the baselines TI-m, DB-m, CD-m)."""

    variants: int = 16
    """How many crops or cut-outs are prepared (encoded once) per picture."""

    compose: float = 0.0
    """Probability of a composed picture: the sampled concepts cut out and put at new places (not in
    the paper; after Seg-Mix of MuDI, arXiv 2404.04243). It unlearns the scene's order and the
    ghosts of things that a prompt does not name. Some real frames must stay: keep it below 1."""

    compositions: int = 48
    """How many composed pictures are prepared (encoded once)."""

    compose_plain: float = 0.5
    """Share of the composed pictures on a plain ground that the prompt names, with the loss over
    the whole picture: only they say that nothing else is there. The others have an unnamed ground
    and the masked loss."""

    compose_reordered: float = 0.0
    """Share of the composed pictures whose things stand in another order of left and right than the
    scene's, and find room together more often. The scene's own frames all show that one: with 1
    both are learned about as often."""

    grounds: str = "white"
    """Colours of plain grounds, by names that the base model knows, such as `white gray blue`; one
    may be given as `gray=#8c8c8e`."""

    mask_rim: int = 0
    """Cells of the attention grid by which every mask is grown (below 0: shrunk) before training,
    as if it had been drawn that much looser or tighter."""

    erase: bool = False
    """In a sample that does not name all concepts the others are painted over, so that they are
    not learned as part of what nobody named (not in the paper)."""

    erase_up_to: int = 0
    """Only in samples that name at most so many concepts; 0: in all that do not name every one."""

    def __post_init__(self) -> None:
        check(0 <= self.flip <= 1, "data.flip", "between 0 and 1", self.flip)
        check(0 <= self.crop <= 1, "data.crop", "between 0 and 1", self.crop)
        check(
            0 < self.crop_min_side <= 1,
            "data.crop_min_side",
            "above 0, up to 1",
            self.crop_min_side,
        )
        check(0 <= self.crop_beyond <= 1, "data.crop_beyond", "between 0 and 1", self.crop_beyond)
        check(self.variants >= 1, "data.variants", "1 or more", self.variants)
        check(0 <= self.compose <= 1, "data.compose", "between 0 and 1", self.compose)
        check(
            0 <= self.compose_reordered <= 1,
            "data.compose_reordered",
            "between 0 and 1",
            self.compose_reordered,
        )
        check(self.erase_up_to >= 0, "data.erase_up_to", "0 or more", self.erase_up_to)
        check(self.compositions >= 1, "data.compositions", "1 or more", self.compositions)
        check(-8 <= self.mask_rim <= 8, "data.mask_rim", "between -8 and 8", self.mask_rim)
        check(
            0 <= self.compose_plain <= 1,
            "data.compose_plain",
            "between 0 and 1",
            self.compose_plain,
        )
        parse_grounds(self.grounds)
        if self.cutouts and (self.compose > 0 or self.erase):
            raise UserError(
                "data.cutouts replaces the scene: nothing is left to compose or to erase",
                "set data.compose=0 and data.erase=false",
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW as in the released script; a fresh one starts at the phase switch."""

    kind: Literal["adamw", "adamw8bit"] = "adamw"
    """`adamw`, or `adamw8bit`: phase 2's moments in a byte each (arXiv 2110.02861; not in the
    paper; needs the extra `8bit`)."""

    beta1: float = 0.9
    """Decay of the gradient's running mean."""

    beta2: float = 0.999
    """Decay of its running square (the paper's text says 0.99, its script 0.999)."""

    epsilon: float = 1e-8
    """Added to the denominator."""

    weight_decay: float = 1e-2
    """Decoupled weight decay."""

    clip_norm: float = 1.0
    """Gradient-norm clip over the trained parameters; 0 switches it off."""

    clip_whole_embedding: bool = False
    """Phase 1: clip by the norm of the whole embedding gradient, frozen rows included, exactly as
    the released script does (slower; only for reproduction)."""

    @property
    def moment_bytes(self) -> int:
        """Of both moments of a trained number in phase 2."""
        return 2 if self.kind == "adamw8bit" else 8

    def __post_init__(self) -> None:
        check(0 <= self.beta1 < 1, "optimizer.beta1", "in [0, 1)", self.beta1)
        check(0 <= self.beta2 < 1, "optimizer.beta2", "in [0, 1)", self.beta2)
        check(self.epsilon > 0, "optimizer.epsilon", "above 0", self.epsilon)
        check(self.weight_decay >= 0, "optimizer.weight_decay", "0 or more", self.weight_decay)
        check(self.clip_norm >= 0, "optimizer.clip_norm", "0 or more", self.clip_norm)
