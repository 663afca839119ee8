"""One training step: batch in, loss terms out. No I/O, no randomness, no host synchronisation.

Shape legend: B rows (P prior rows first, then S scene rows), C latent channels, H and W latent
size, K placeholder slots, Q = grid * grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from engine.families.contract import Family, Recording
from engine.families.placement import computes_in_half
from engine.method.attention_maps import average_maps
from engine.method.losses import (
    attention_loss,
    competing_attention_loss,
    diffusion_loss,
    masked_diffusion_loss,
)
from engine.training.batches import Batch


class LossTerms(NamedTuple):
    """Scalars on the device (means over rows) and the recorded maps, detached."""

    total: torch.Tensor
    masked: torch.Tensor
    attention: torch.Tensor
    """Before its weight."""
    prior: torch.Tensor
    """Before its weight; 0 without prior rows."""
    maps_SKQ: torch.Tensor
    """Attention maps of the scene rows; (S, 0, 0) where nothing is recorded."""


class TrainingStep(nn.Module):
    """The method's loss as one module, so that a distributed wrapper sees one forward pass."""

    def __init__(
        self,
        family: Family,
        recorder: Recording | None,
        adapter_modules: Sequence[nn.Module] = (),
        *,
        masked: bool,
        divide_by_area: bool,
        attention_weight: float,
        prior_weight: float,
        competing: bool = False,
    ) -> None:
        """`competing`: the attention loss of shares; batches then hold rivals' columns."""
        super().__init__()
        self.networks = nn.ModuleDict(dict(family.targets.networks))
        self.adapter = nn.ModuleList(adapter_modules)
        self._family = family
        self._recorder = recorder
        self._masked = masked
        self._divide_by_area = divide_by_area
        self._attention_weight = attention_weight
        self._prior_weight = prior_weight
        self._competing = competing
        self._in_half = computes_in_half(family)

    def forward(self, batch: Batch, prior_rows: int = 0) -> LossTerms:
        """Loss of a batch whose first `prior_rows` rows are prior pictures (method, equation 3).

        total = masked + attention_weight * attention + prior_weight * prior.
        """
        if self._in_half:
            with torch.autocast(batch.latents_BCHW.device.type, enabled=False):
                return self._terms(batch, prior_rows)
        return self._terms(batch, prior_rows)

    def _terms(self, batch: Batch, prior_rows: int) -> LossTerms:
        family, scene = self._family, slice(prior_rows, None)
        drawn = batch.latents_BCHW, batch.noise_BCHW, batch.levels_B
        noised_BCHW, target_BCHW = family.noise.add(*drawn), family.noise.target(*drawn)
        conditioning = family.text.encode(batch.input_ids_BEL)
        given = noised_BCHW, batch.levels_B, conditioning, batch.geometry_BG
        if self._recorder is None:
            recorded: list[torch.Tensor] = []
            predicted_BCHW = family.predict(*given)
        else:
            with self._recorder.capture(batch.columns_BK) as recorded:
                predicted_BCHW = family.predict(*given)
        predicted_BCHW = predicted_BCHW.float()

        if self._masked:
            masked_S = masked_diffusion_loss(
                predicted_BCHW[scene],
                target_BCHW[scene],
                batch.union_masks_B1HW[scene],
                divide_by_area=self._divide_by_area,
            )
        else:
            masked_S = diffusion_loss(predicted_BCHW[scene], target_BCHW[scene])
        masked = masked_S.mean()
        zero = masked.new_zeros(())
        total, attention, prior = masked, zero, zero
        maps_SKQ = masked.new_zeros(len(masked_S), 0, 0)
        if recorded:
            masks_SKQ, valid_SK = batch.token_masks_BKQ[scene], batch.valid_BK[scene]
            slots = valid_SK.shape[1]
            columns_SK, all_maps_SKQ = batch.columns_BK[scene], average_maps(recorded)[scene]
            maps_SKQ = all_maps_SKQ[:, :slots]
            if self._competing:
                # Position 0 begins every text: it is no word, and marks an empty slot.
                is_word_SW1 = (columns_SK[:, slots:] > 0)[..., None]
                rest_SQ = (all_maps_SKQ[:, slots:] * is_word_SW1).sum(1)
                attention = competing_attention_loss(maps_SKQ, rest_SQ, masks_SKQ, valid_SK).mean()
            else:
                attention = attention_loss(maps_SKQ, masks_SKQ, valid_SK).mean()
            if self._attention_weight > 0:  # Else no gradient need go through the maps.
                total = total + self._attention_weight * attention
        if prior_rows:
            prior = diffusion_loss(predicted_BCHW[:prior_rows], target_BCHW[:prior_rows]).mean()
            total = total + self._prior_weight * prior
        return LossTerms(
            total, masked.detach(), attention.detach(), prior.detach(), maps_SKQ.detach()
        )
