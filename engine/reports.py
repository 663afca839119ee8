"""Turns what the loop knows into events.

Shape legend: S scene rows, K placeholder slots, N concepts, Q = grid * grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.attention_maps import score_maps, to_uint8
from engine.events import (
    AttentionMaps,
    ConceptInfo,
    StepDone,
    TokenMap,
    pack_map,
)
from engine.optimizer_step import StepResult
from engine.run_dir import ConceptEntry


def concept_infos(
    concepts: Sequence[ConceptEntry], grid_masks_NQ: torch.Tensor
) -> tuple[ConceptInfo, ...]:
    """The concepts with their masks on the attention grid (uint8, 0 or 255)."""
    return tuple(
        ConceptInfo(**vars(concept), mask=pack_map(mask_Q.numpy().tobytes()))
        for concept, mask_Q in zip(concepts, grid_masks_NQ, strict=True)
    )


def step_done(result: StepResult, *, step: int, phase: int, seconds: float) -> StepDone:
    """The event of a finished optimiser step."""
    return StepDone(
        step=step,
        phase=phase,
        loss=result.loss,
        masked=result.masked,
        attention=result.attention,
        prior=result.prior,
        grad_norm=result.grad_norm,
        seconds=seconds,
        concepts=tuple(sorted({index for subset in result.subsets for index in subset})),
    )


def attention_event(
    result: StepResult, *, step: int, grid: int, concepts: Sequence[ConceptEntry]
) -> AttentionMaps:
    """Each sampled concept's map, taken from the first row that shows it."""
    maps: dict[int, TokenMap] = {}
    for row, subset in enumerate(result.subsets):
        maps_KQ = result.maps_SKQ[row, : len(subset)].float().cpu()
        scores = score_maps(maps_KQ, result.masks_SKQ[row, : len(subset)].cpu())
        packed_KQ = to_uint8(maps_KQ)
        for slot, index in enumerate(subset):
            found = TokenMap(
                token=concepts[index].token,
                map=pack_map(packed_KQ[slot].numpy().tobytes()),
                iou=round(float(scores.iou[slot]), 4),
                leak=round(float(scores.leak[slot]), 4),
            )
            maps.setdefault(index, found)
    return AttentionMaps(step=step, grid=grid, maps=tuple(maps[index] for index in sorted(maps)))
