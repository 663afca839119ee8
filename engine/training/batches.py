"""One training batch, drawn from an explicit generator with fixed shapes.

Shape legend: B rows (prior rows first), C latent channels, H and W latent size, L prompt
positions, K placeholder slots (the number of concepts), Q = grid * grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from engine.families.contract import Posterior
from engine.families.tokens import encode_prompts, token_columns
from engine.method.union_sampling import randint, sample_subset, subset_prompt
from engine.training.pictures import Pair, draw_variant


class Batch(NamedTuple):
    """Everything one step needs. Prior rows come first and have no valid slots."""

    latents_BCHW: torch.Tensor
    noise_BCHW: torch.Tensor
    timesteps_B: torch.Tensor
    input_ids_BL: torch.Tensor
    union_masks_B1HW: torch.Tensor
    columns_BK: torch.Tensor
    token_masks_BKQ: torch.Tensor
    valid_BK: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Prompts:
    """Token ids of the training prompts, encoded once and looked up afterwards."""

    def __init__(self, tokenizer: object, prefix: str, tokens: Sequence[str]) -> None:
        self._tokenizer, self._prefix, self._tokens = tokenizer, prefix, tokens
        self._cache: dict[tuple[int, ...], torch.Tensor] = {}
        self.token_ids = torch.tensor(tokenizer.convert_tokens_to_ids(list(tokens)))  # type: ignore[attr-defined]

    def text(self, subset: Sequence[int]) -> str:
        """The prompt of a subset in its order."""
        return subset_prompt(self._prefix, [self._tokens[index] for index in subset])

    def ids(self, subset: tuple[int, ...]) -> torch.Tensor:
        """Prompt ids of a subset; (L,)."""
        if subset not in self._cache:
            self._cache[subset] = encode_prompts(self._tokenizer, [self.text(subset)])[0]  # type: ignore[arg-type]
        return self._cache[subset]


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
    pairs: Sequence[Pair],
    prompts: Prompts,
    generator: torch.Generator,
    *,
    size: int,
    train_timesteps: int,
    crop: float,
    flip: float,
    union: bool,
    prior: Posterior | None = None,
    prior_ids_L: torch.Tensor | None = None,
) -> DrawnBatch:
    """Draw `size` scene rows (union sampling), preceded by as many prior rows where given.

    Draws, in this order: per scene row crop, flip, subset; the prior picture of each prior row;
    then VAE noise, diffusion noise and timesteps for all rows.
    """
    means, stds, ids, unions, columns, grids, valids = [], [], [], [], [], [], []
    rows: list[DrawnRow] = []
    slots = len(prompts.token_ids)
    for _ in range(size):
        variant = draw_variant(pairs, generator, crop=crop, flip=flip)
        subset = sample_subset(variant.concepts, generator, union=union)
        if variant.exact:
            subset = variant.concepts
        rows.append(DrawnRow(subset, variant.whole, variant.mirrored))
        ids_L = prompts.ids(subset)
        token_ids_K = torch.full((slots,), -1)
        token_ids_K[: len(subset)] = prompts.token_ids[list(subset)]
        grid_KQ = torch.zeros(slots, variant.grid_masks_NQ.shape[1])
        grid_KQ[: len(subset)] = variant.grid_masks_NQ[list(subset)]
        means.append(variant.mean_CHW)
        stds.append(variant.std_CHW)
        ids.append(ids_L)
        unions.append(variant.latent_masks_NHW[list(subset)].amax(0, keepdim=True))
        columns.append(token_columns(ids_L[None], token_ids_K[None])[0])
        grids.append(grid_KQ)
        valids.append((token_ids_K >= 0).float())
    if prior is not None:
        assert prior_ids_L is not None
        picks = [randint(len(prior.mean), generator) for _ in range(size)]
        means = [prior.mean[pick] for pick in picks] + means
        stds = [prior.std[pick] for pick in picks] + stds
        ids = [prior_ids_L] * size + ids
        unions = [torch.ones_like(unions[0])] * size + unions
        columns = [torch.zeros_like(columns[0])] * size + columns
        grids = [torch.zeros_like(grids[0])] * size + grids
        valids = [torch.zeros_like(valids[0])] * size + valids
    mean_BCHW = torch.stack(means)
    vae_noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator)
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator)
    timesteps_B = torch.randint(0, train_timesteps, (len(means),), generator=generator)
    batch = Batch(
        latents_BCHW=mean_BCHW + torch.stack(stds) * vae_noise_BCHW,
        noise_BCHW=noise_BCHW,
        timesteps_B=timesteps_B,
        input_ids_BL=torch.stack(ids),
        union_masks_B1HW=torch.stack(unions),
        columns_BK=torch.stack(columns),
        token_masks_BKQ=torch.stack(grids),
        valid_BK=torch.stack(valids),
    )
    return DrawnBatch(batch, tuple(rows))
