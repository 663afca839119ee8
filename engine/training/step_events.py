"""Turns what the loop knows into events.

Shape legend: S scene rows, K placeholder slots, N concepts, G grid side, Q = G * G.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.config import TrainConfig
from engine.method.attention_maps import score_maps, to_uint8
from engine.runs.events import (
    AttentionMaps,
    ConceptInfo,
    PhasePlan,
    RunStarted,
    StepDone,
    TokenMap,
    pack_map,
)
from engine.runs.manifest import ConceptEntry
from engine.scenes.scene import Scene
from engine.training.optimizer_step import StepResult
from engine.training.preparation import concept_grid_masks


def run_started(
    scene: Scene,
    config: TrainConfig,
    *,
    run: str,
    base: str,
    device: str,
    precision: str,
    step: int,
    grid: int,
    concepts: Sequence[ConceptEntry],
    phases: tuple[PhasePlan, ...],
) -> RunStarted:
    """The first event: the plan, and the concepts with their masks on the attention grid.

    `scene` is at the training resolution.
    """
    infos = tuple(
        ConceptInfo(**vars(concept), mask=pack_map(mask_Q.numpy().tobytes()))
        for concept, mask_Q in zip(concepts, concept_grid_masks(scene, grid), strict=True)
    )
    return RunStarted(
        run=run,
        base=base,
        device=device,
        precision=precision,
        step=step,
        total_steps=config.total_steps,
        phases=phases,
        concepts=infos,
        grid=grid,
        resolution=scene.side,
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
        concepts=tuple(sorted({index for row in result.rows for index in row.concepts})),
    )


def attention_event(
    result: StepResult, *, step: int, grid: int, concepts: Sequence[ConceptEntry]
) -> AttentionMaps:
    """Each sampled concept's map in the scene's own frame, from the first row that shows it so.

    Maps of mirrored rows are mirrored back, so that a viewer may lay them beside the scene's masks;
    crops have another frame and are left out.
    """
    maps: dict[int, TokenMap] = {}
    for index, row in enumerate(result.rows):
        if not row.whole:
            continue
        count = len(row.concepts)
        maps_KQ = result.maps_SKQ[index, :count].float().cpu()
        scores = score_maps(maps_KQ, result.masks_SKQ[index, :count].cpu())
        packed_KGG = to_uint8(maps_KQ).view(count, grid, grid)
        if row.mirrored:
            packed_KGG = packed_KGG.flip(-1)
        for slot, concept in enumerate(row.concepts):
            found = TokenMap(
                token=concepts[concept].token,
                map=pack_map(packed_KGG[slot].numpy().tobytes()),
                iou=round(float(scores.iou[slot]), 4),
                leak=round(float(scores.leak[slot]), 4),
            )
            maps.setdefault(concept, found)
    return AttentionMaps(
        step=step, grid=grid, maps=tuple(maps[concept] for concept in sorted(maps))
    )
