"""One training batch, drawn from an explicit generator with fixed shapes.

Shape legend: B rows (prior rows first), C latent channels, H and W latent size, E text encoders, L
prompt positions, K placeholder slots (the number of concepts), Q = grid * grid, G geometry numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from engine.families.contract import Family, Geometry, Noise, Posterior
from engine.method.union_sampling import randint, sample_subset, subset_prompt
from engine.training.pictures import Pair, draw_variant


class Batch(NamedTuple):
    """Everything one step needs. Prior rows come first and have no valid slots."""

    latents_BCHW: torch.Tensor
    noise_BCHW: torch.Tensor
    levels_B: torch.Tensor
    input_ids_BEL: torch.Tensor
    geometry_BG: torch.Tensor
    union_masks_B1HW: torch.Tensor
    columns_BK: torch.Tensor
    token_masks_BKQ: torch.Tensor
    valid_BK: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Prompts:
    """Token ids of the training prompts, encoded once and looked up afterwards."""

    def __init__(self, family: Family, prefix: str, tokens: Sequence[str], prior: str = "") -> None:
        """`prior`: the prompt of the prior rows."""
        self._text, self._prefix, self._tokens = family.text, prefix, tokens
        self._cache: dict[tuple[int, ...], torch.Tensor] = {}
        self.token_ids_N = self._text.token_ids(tokens)
        self.prior_ids_EL = self._text.tokenize([prior])[0]

    def text(self, subset: Sequence[int]) -> str:
        """The prompt of a subset in its order."""
        return subset_prompt(self._prefix, [self._tokens[index] for index in subset])

    def ids(self, subset: tuple[int, ...]) -> torch.Tensor:
        """Prompt ids of a subset; (E, L)."""
        if subset not in self._cache:
            self._cache[subset] = self._text.tokenize([self.text(subset)])[0]
        return self._cache[subset]

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
    pairs: Sequence[Pair],
    prompts: Prompts,
    noise: Noise,
    generator: torch.Generator,
    *,
    size: int,
    crop: float,
    flip: float,
    union: bool,
    prior: Posterior | None = None,
    prior_geometry: Geometry | None = None,
) -> DrawnBatch:
    """Draw `size` scene rows (union sampling), preceded by as many prior rows where given.

    Draws, in this order: per scene row crop, flip, subset; the prior picture of each prior row;
    then VAE noise, diffusion noise and noise levels for all rows.
    """
    means, stds, ids, unions, columns, grids, valids = [], [], [], [], [], [], []
    geometry: list[Geometry] = []
    rows: list[DrawnRow] = []
    slots = len(prompts.token_ids_N)
    for _ in range(size):
        variant = draw_variant(pairs, generator, crop=crop, flip=flip)
        subset = sample_subset(variant.concepts, generator, union=union)
        if variant.exact:
            subset = variant.concepts
        rows.append(DrawnRow(subset, variant.whole, variant.mirrored))
        ids_EL = prompts.ids(subset)
        token_ids_K = torch.full((slots,), -1)
        token_ids_K[: len(subset)] = prompts.token_ids_N[list(subset)]
        grid_KQ = torch.zeros(slots, variant.grid_masks_NQ.shape[1])
        grid_KQ[: len(subset)] = variant.grid_masks_NQ[list(subset)]
        means.append(variant.mean_CHW)
        stds.append(variant.std_CHW)
        ids.append(ids_EL)
        geometry.append(variant.geometry)
        unions.append(variant.latent_masks_NHW[list(subset)].amax(0, keepdim=True))
        columns.append(prompts.columns(ids_EL, token_ids_K))
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
    levels_B = noise.draw(len(means), generator)
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
