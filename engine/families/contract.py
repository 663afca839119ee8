"""The contract of a base model: a few small parts, each a Protocol of its own.

A family is chosen once (`engine.models.kinds`); whoever trains or draws asks its parts and
never which family it is. `docs/adding-a-family.md` walks through one.

Shape legend: B batch, C latent channels, H and W latent size, E text encoders, L prompt positions,
D width of the text states, K placeholder slots, N placeholder tokens, G geometry numbers (6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from engine.families.tokens import PlaceholderEmbedding


class Posterior(NamedTuple):
    """An autoencoder's posterior in latent units (scaling factor applied); both (B, C, H, W)."""

    mean: torch.Tensor
    std: torch.Tensor


class Conditioning(NamedTuple):
    """What prompts tell the denoising network."""

    states_BLD: torch.Tensor
    extra: Mapping[str, torch.Tensor]
    """Whatever else the network is told, (B, ...) each, such as SDXL's pooled embedding."""

    @staticmethod
    def join(parts: Sequence[Conditioning]) -> Conditioning:
        """The rows of all parts, in order."""
        return Conditioning(
            torch.cat([part.states_BLD for part in parts]),
            {key: torch.cat([part.extra[key] for part in parts]) for key in parts[0].extra},
        )


class Geometry(NamedTuple):
    """Which part of which picture a sample shows, in pixels (SDXL's size and crop conditioning).

    A network that was taught these numbers takes a crop for a crop, and a small photo for a small
    photo. Others ignore them.
    """

    original_height: float
    original_width: float
    """Of the picture that the sample was scaled from."""
    top: float
    left: float
    """Of the crop, in the scaled picture."""
    height: float
    width: float
    """Of the sample."""

    @classmethod
    def whole(cls, side: int, original: int = 0) -> Geometry:
        """A whole square picture of `side`, scaled from `original` pixels (0: never scaled)."""
        before = original or side
        return cls(before, before, 0, 0, side, side)


class Solver(Protocol):
    """A way from noise to a picture: `steps` steps over falling noise levels."""

    @property
    def levels(self) -> Sequence[int]:
        """The level at which each step's network runs, highest first."""
        ...

    def start(self, noise_BCHW: torch.Tensor) -> torch.Tensor:
        """Latents of the highest level from unit noise."""
        ...

    def network_input(self, latents_BCHW: torch.Tensor, index: int) -> torch.Tensor:
        """The latents as the network wants them at step `index`."""
        ...

    def step(
        self, prediction_BCHW: torch.Tensor, index: int, latents_BCHW: torch.Tensor
    ) -> torch.Tensor:
        """Latents after step `index`."""
        ...

    def level_after(self, index: int) -> int | None:
        """The noise level of the latents after step `index`; None: they are clean."""
        ...


class Noise(Protocol):
    """The forward process: what a noise level is and what the network has to say at it."""

    train_levels: int
    """How many levels training knows; 0 is the least noise."""

    def draw(
        self, count: int, generator: torch.Generator, *, low: float = 0.0, high: float = 1.0
    ) -> torch.Tensor:
        """Levels of `count` training rows, within these shares of all levels; int64 (B,)."""
        ...

    def add(
        self, latents_BCHW: torch.Tensor, noise_BCHW: torch.Tensor, levels_B: torch.Tensor
    ) -> torch.Tensor:
        """The latents with noise of their level; (B, C, H, W)."""
        ...

    def target(
        self, latents_BCHW: torch.Tensor, noise_BCHW: torch.Tensor, levels_B: torch.Tensor
    ) -> torch.Tensor:
        """What the network should have said; (B, C, H, W)."""
        ...

    def solver(self, name: str, steps: int) -> Solver:
        """A fresh solver: `ddim` (the paper's) or `dpm++`."""
        ...


class Text(Protocol):
    """Prompts: tokenizers and text encoders, and the rows of the tokens that are learned."""

    limit: int
    """Prompt positions that the encoders read, the two end markers included."""

    @property
    def encoders(self) -> Sequence[nn.Module]:
        """The text encoders, in the order of the E axis."""
        ...

    def tokenize(self, prompts: Sequence[str]) -> torch.Tensor:
        """Ids for each encoder, padded and cut to `limit`; int64 (B, E, L)."""
        ...

    def length(self, prompt: str) -> int:
        """Positions that the prompt would need, end markers included."""
        ...

    def initial_rows(
        self, initializers: Sequence[str], generator: torch.Generator, *, default: str = ""
    ) -> tuple[torch.Tensor, ...]:
        """Start values of the new rows for each encoder, (N, width) each."""
        ...

    def add_tokens(self, rows: Sequence[torch.Tensor], word_ids: Sequence[int] = ()) -> None:
        """Teach every tokenizer and encoder `<asset0>`..., starting from `rows`; once per model.

        `word_ids`: other rows that phase 2 trains along.
        """
        ...

    def embeddings(self) -> tuple[PlaceholderEmbedding, ...]:
        """The learned rows of each encoder, once `add_tokens` was called."""
        ...

    def columns(self, input_ids_BEL: torch.Tensor, token_ids_BK: torch.Tensor) -> torch.Tensor:
        """Position of each token in its prompt; int64 (B, K), 0 for ids below 0."""
        ...

    def token_ids(self, tokens: Sequence[str]) -> torch.Tensor:
        """Ids of the placeholder tokens; int64 (N,)."""
        ...

    def encode(self, input_ids_BEL: torch.Tensor) -> Conditioning:
        """What the prompts tell the network; gradients reach the learned rows."""
        ...

    def unconditional(self, negative: str, count: int) -> Conditioning:
        """The other side of classifier-free guidance: the negative prompt, or nothing."""
        ...


class Codec(Protocol):
    """Pictures to latents and back."""

    channels: int
    """Latent channels."""

    def size(self, resolution: int) -> int:
        """Side of the latents of a square picture."""
        ...

    def encode(self, pictures_BHWC: np.ndarray) -> Posterior:
        """Posterior of pictures, uint8 (B, H, W, 3)."""
        ...

    def decode(self, latents_BCHW: torch.Tensor) -> np.ndarray:
        """Pictures of latents, uint8 (B, H, W, 3)."""
        ...

    def decoder(self) -> nn.Module:
        """A copy of the decoder that may be trained; the codec's own stays as it is.

        Latents (B, C, H, W) in, pictures in about -1..1 out, float (B, 3, H, W), with gradients.
        """
        ...

    def park(self, *, parked: bool) -> None:
        """Move the autoencoder out of the accelerator's memory, or back."""
        ...

    def move(self, device: torch.device) -> None:
        """Compute on another device from now on."""
        ...


class Recording(AbstractContextManager["Recording"], Protocol):
    """Records attention of chosen layers while it is entered; restores them after."""

    def capture(self, columns_BK: torch.Tensor) -> AbstractContextManager[list[torch.Tensor]]:
        """Collect one forward pass: a (B, heads, Q, K) tensor per layer, of these columns."""
        ...

    def suspended(self) -> AbstractContextManager[None]:
        """Run the network with other batch shapes (previews) without recording."""
        ...


class Maps(Protocol):
    """Which attention is supervised, and how it is read (paper, section 3.2)."""

    def default_grid(self, resolution: int) -> int:
        """Side of the query grid to supervise: a quarter of the latents' side, or what is nearest.

        That is the paper's 16 on Stable Diffusion at 512 px and 32 on SDXL at 1024 px.
        """
        ...

    def layers(self, resolution: int, grid: int) -> tuple[str, ...]:
        """Layers with a grid x grid query; raises UserError when there are none."""
        ...

    def recorder(self, layers: Sequence[str], *, plain_attention: bool) -> Recording:
        """A recorder of these layers; `plain_attention`: no fused kernels in the others."""
        ...


class Targets(Protocol):
    """The weights that an adapter may move, by name."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """`unet` and `text_encoder`, or what the family calls them: everything that predicts."""
        ...

    def weights(self) -> dict[str, nn.Parameter]:
        """Every weight that training may change; token rows excluded."""
        ...

    def part(self, name: str) -> dict[str, nn.Parameter]:
        """Of these the ones of a part: all, unet, cross-attention, none."""
        ...

    def layers(self, kind: str, *, text_encoder: bool) -> dict[str, nn.Module]:
        """Linear and convolution layers for a low-rank adapter: `all` or `attention`."""
        ...


class Family(Protocol):
    """A loaded base model."""

    name: str
    resolution: int
    """Native side of a square picture, pixels."""
    device: torch.device

    # Read-only, so that a family may hold narrower types.
    @property
    def noise(self) -> Noise: ...
    @property
    def text(self) -> Text: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def maps(self) -> Maps: ...
    @property
    def targets(self) -> Targets: ...

    def predict(
        self,
        noised_BCHW: torch.Tensor,
        levels_B: torch.Tensor,
        conditioning: Conditioning,
        geometry_BG: torch.Tensor,
    ) -> torch.Tensor:
        """The network's output (B, C, H, W)."""
        ...

    def checkpoint_activations(self) -> None:
        """Trade time for memory: recompute activations in the backward pass."""
        ...
