"""One training batch, drawn from an explicit generator with fixed shapes.

Shape legend: B rows (prior rows first), C latent channels, H and W latent size, E text encoders, L
prompt positions, K placeholder slots (the number of concepts), Q = grid * grid, G geometry numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from engine.core.prompt_grammar import PAPER_GRAMMAR, Grammar
from engine.families.contract import Family, Geometry, Noise, Posterior
from engine.method.losses import balanced_weights, weights_of
from engine.method.union_sampling import randint, sample_subset
from engine.training.pictures import TrainingPictures, Variant, draw_variant, side_of


class Batch(NamedTuple):
    """Everything one step needs. Prior rows come first and have no valid slots."""

    latents_BCHW: torch.Tensor
    noise_BCHW: torch.Tensor
    levels_B: torch.Tensor
    input_ids_BEL: torch.Tensor
    geometry_BG: torch.Tensor
    union_masks_B1HW: torch.Tensor
    """The sampled concepts' cells, or the roots of their weights (`losses.weights_of`)."""
    columns_BK: torch.Tensor
    """Prompt positions of the placeholders; behind them, where rivals were asked for, those of the
    other words, 0 for empty slots."""
    token_masks_BKQ: torch.Tensor
    valid_BK: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; to a GPU in one copy from pinned memory."""
        if device.type != "cuda" or self.latents_BCHW.device.type != "cpu":
            return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))
        # The widest numbers first, so that every part starts at a multiple of its own width.
        order = sorted(range(len(self)), key=lambda index: -self[index].element_size())
        parts = [self[index].contiguous().flatten().view(torch.uint8) for index in order]
        sent = torch.cat(parts).pin_memory().to(device, non_blocking=True)
        there = dict(zip(order, sent.split([len(part) for part in parts]), strict=True))
        return Batch(
            *(there[index].view(one.dtype).view(one.shape) for index, one in enumerate(self))
        )


class EncodedPrompt(NamedTuple):
    """A training prompt as the model reads it."""

    ids_EL: torch.Tensor
    words_W: torch.Tensor
    """Positions of its words that are no placeholders, 0 for the empty slots."""


class Prompts:
    """The training prompts, encoded once and looked up afterwards."""

    def __init__(
        self,
        family: Family,
        prefix: str,
        tokens: Sequence[str],
        prior: str = "",
        *,
        grammar: Grammar = PAPER_GRAMMAR,
        nouns: Sequence[str] = (),
        background: int | None = None,
    ) -> None:
        """`prior`: the prompt of the prior rows. `nouns`: each token's start word, or an empty
        one."""
        self._text, self._prefix, self._grammar = family.text, prefix, grammar
        self._background = background
        words = nouns or ("",) * len(tokens)
        self._names = [grammar.name(*pair) for pair in zip(tokens, words, strict=True)]
        self._cache: dict[tuple[tuple[int, ...], str], EncodedPrompt] = {}
        self.token_ids_N = self._text.token_ids(tokens)
        self.prior_ids_EL = self._text.tokenize([prior])[0]

    def text(self, subset: Sequence[int], ground: str = "") -> str:
        """The prompt of a subset in its order, with what it says of the ground."""
        names = [self._names[index] for index in subset if index != self._background]
        behind = self._background
        place = self._names[behind] if behind is not None and behind in subset else ""
        return self._grammar.training_prompt(self._prefix, names, ground, place)

    def encoded(self, subset: tuple[int, ...], ground: str = "") -> EncodedPrompt:
        """The prompt of a subset, encoded."""
        key = subset, ground
        if key not in self._cache:
            text = self.text(subset, ground)
            ids_EL = self._text.tokenize([text])[0]
            positions_L = torch.arange(ids_EL.shape[1])
            inside_L = (positions_L > 0) & (positions_L < self._text.length(text) - 1)
            inside_L &= ~torch.isin(ids_EL[0], self.token_ids_N)
            self._cache[key] = EncodedPrompt(ids_EL, torch.where(inside_L, positions_L, 0))
        return self._cache[key]

    def columns(self, ids_EL: torch.Tensor, token_ids_K: torch.Tensor) -> torch.Tensor:
        """Position of each token in the prompt; (K,)."""
        return self._text.columns(ids_EL[None], token_ids_K[None])[0]


class DrawnRow(NamedTuple):
    """What a scene row shows."""

    concepts: tuple[int, ...]
    """In prompt order."""
    whole: bool = True
    """In the scene's own frame; false for a crop."""
    mirrored: bool = False


class DrawnBatch(NamedTuple):
    """A batch and what its scene rows show."""

    batch: Batch
    rows: tuple[DrawnRow, ...]


def draw_batch(
    pictures: TrainingPictures,
    prompts: Prompts,
    noise: Noise,
    generator: torch.Generator,
    *,
    size: int,
    crop: float,
    flip: float,
    union: bool,
    compose: float = 0.0,
    noise_low: float = 0.0,
    noise_high: float = 1.0,
    balanced_area: float | None = None,
    rivals: bool = False,
    prior: Posterior | None = None,
    prior_geometry: Geometry | None = None,
) -> DrawnBatch:
    """Draw `size` scene rows (union sampling), preceded by as many prior rows where given.

    Draws, in this order: per scene row composition, crop, flip, subset; the prior picture of each
    prior row; then VAE noise, diffusion noise and noise levels for all rows.

    `balanced_area` makes every concept of a row weigh the same (`losses.balanced_weights`).
    `rivals` adds the positions of the prompts' other words behind the placeholders' columns.
    """
    means, stds, ids, unions, columns, grids, valids = [], [], [], [], [], [], []
    geometry: list[Geometry] = []
    rows: list[DrawnRow] = []
    slots = len(prompts.token_ids_N)
    for _ in range(size):
        variant = draw_variant(pictures, generator, crop=crop, flip=flip, compose=compose)
        subset = sample_subset(variant.concepts, generator, union=union)
        if variant.exact:
            subset = variant.concepts
        elif variant.whole and frozenset(subset) in pictures.erased:
            variant = side_of(pictures.erased[frozenset(subset)], mirrored=variant.mirrored)
        rows.append(DrawnRow(subset, variant.whole, variant.mirrored))
        prompt = prompts.encoded(subset, variant.ground)
        token_ids_K = torch.full((slots,), -1)
        token_ids_K[: len(subset)] = prompts.token_ids_N[list(subset)]
        grid_KQ = torch.zeros(slots, variant.grid_masks_NQ.shape[1])
        grid_KQ[: len(subset)] = variant.grid_masks_NQ[list(subset)]
        means.append(variant.mean_CHW)
        stds.append(variant.std_CHW)
        ids.append(prompt.ids_EL)
        geometry.append(variant.geometry)
        unions.append(_loss_mask(variant, subset, balanced_area))
        columns_K = prompts.columns(prompt.ids_EL, token_ids_K)
        columns.append(torch.cat([columns_K, prompt.words_W]) if rivals else columns_K)
        grids.append(grid_KQ)
        valids.append((token_ids_K >= 0).float())
    if prior is not None:
        assert prior_geometry is not None
        picks = [randint(len(prior.mean), generator) for _ in range(size)]
        means = [prior.mean[pick] for pick in picks] + means
        stds = [prior.std[pick] for pick in picks] + stds
        ids = [prompts.prior_ids_EL] * size + ids
        geometry = [prior_geometry] * size + geometry
        unions = [torch.ones_like(unions[0])] * size + unions
        columns = [torch.zeros_like(columns[0])] * size + columns
        grids = [torch.zeros_like(grids[0])] * size + grids
        valids = [torch.zeros_like(valids[0])] * size + valids
    mean_BCHW = torch.stack(means)
    vae_noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator)
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator)
    levels_B = noise.draw(len(means), generator, low=noise_low, high=noise_high)
    batch = Batch(
        latents_BCHW=mean_BCHW + torch.stack(stds) * vae_noise_BCHW,
        noise_BCHW=noise_BCHW,
        levels_B=levels_B,
        input_ids_BEL=torch.stack(ids),
        geometry_BG=torch.tensor(geometry, dtype=torch.float32),
        union_masks_B1HW=torch.stack(unions),
        columns_BK=torch.stack(columns),
        token_masks_BKQ=torch.stack(grids),
        valid_BK=torch.stack(valids),
    )
    return DrawnBatch(batch, tuple(rows))


def _loss_mask(
    variant: Variant, subset: Sequence[int], balanced_area: float | None
) -> torch.Tensor:
    """What equation 1 multiplies prediction and target by, before the square; (1, H, W)."""
    masks_KHW = variant.latent_masks_NHW[list(subset)]
    if variant.ground:
        # The prompt names the ground, too: there is nothing that it leaves open.
        return torch.ones_like(masks_KHW[:1])
    if balanced_area is not None:
        return balanced_weights(masks_KHW, balanced_area).sqrt()
    return weights_of(masks_KHW).sqrt()
