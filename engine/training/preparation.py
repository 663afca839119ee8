"""Everything a run prepares before its first step: encoded pictures and the prior.

Both are generators that yield progress and return their result (`data = yield from ...`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from engine.core.config import DataConfig, LossConfig, TrainConfig
from engine.drawing.sampler import Cancelled
from engine.families.contract import Family, Posterior
from engine.runs.commands import CommandQueue
from engine.runs.events import Event, Progress
from engine.scenes.mask_grid import mask_grid
from engine.scenes.scene import Scene
from engine.training.pictures import (
    Pair,
    Picture,
    cropped_pictures,
    cutout_pictures,
    encode_picture,
    stream,
)
from engine.training.prior import load_prior, prepare_prior, prior_folder

Result = TypeVar("Result")


class Stopped(Exception):
    """Told to stop before the first step."""


def until_stopped(
    work: Generator[Event | None, None, Result], commands: CommandQueue
) -> Generator[Event, None, Result]:
    """The same work, ended by Stopped when a `stop` arrives; other commands stay in the queue.

    Work that yields None has nothing to tell and only wants to be asked.
    """
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        except Cancelled:
            raise Stopped from None
        if event is not None:
            yield event
        if commands.asked("stop"):
            work.close()
            raise Stopped


def add_concept_tokens(family: Family, config: TrainConfig, initializers: Sequence[str]) -> None:
    """Give the model one placeholder token per concept, with the prompts' words trainable."""
    prompts = [f"{config.prompt} and".strip(), config.loss.prior_prompt]
    word_ids: list[int] = family.text.tokenize(prompts).flatten().unique().tolist()
    rows = family.text.initial_rows(
        initializers, stream(config.seed, "rows"), default=config.initializer
    )
    family.text.add_tokens(rows, word_ids)


def encode_scene(
    family: Family, scene: Scene, data: DataConfig, *, grid: int, seed: int, original: int = 0
) -> Generator[Event | None, None, list[Pair]]:
    """Encode the scene at the training resolution once, with its crops or cut-outs.

    `scene` is already resized, from `original` pixels (0: it was not). The first pair is the whole
    scene; with cut-outs every pair is one.
    """
    image = scene.image
    masks = np.stack([concept.mask for concept in scene.concepts])
    everything = tuple(range(len(masks)))
    generator = stream(seed, "pictures")
    pictures: list[Picture] = []
    if data.cutouts:
        pictures += cutout_pictures(
            image, masks, data.variants, union=data.union_sampling, generator=generator
        )
    else:
        pictures.append(Picture(image, masks, everything))
        if data.crop > 0:
            pictures += cropped_pictures(image, masks, data.variants, data.crop_min_side, generator)
    pairs: list[Pair] = []
    for index, picture in enumerate(pictures):
        yield Progress(stage="encode", done=index, total=len(pictures))
        pairs.append(encode_picture(family, picture, grid, mirror=data.flip > 0, original=original))
    yield Progress(stage="encode", done=len(pictures), total=len(pictures))
    return pairs


def prepare_prior_posteriors(
    family: Family,
    cache: Path,
    loss: LossConfig,
    *,
    base_hash: str,
    guidance: float,
    resolution: int,
    precision: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Event | None, None, Posterior]:
    """Sample (once per base model) and load the prior pictures' posteriors."""
    folder = prior_folder(
        cache,
        base_hash=base_hash,
        prompt=loss.prior_prompt,
        steps=loss.prior_steps,
        guidance=guidance,
        resolution=resolution,
    )
    yield from prepare_prior(
        family,
        folder,
        prompt=loss.prior_prompt,
        count=loss.prior_images,
        steps=loss.prior_steps,
        guidance=guidance,
        resolution=resolution,
        precision=precision,
        stopped=stopped,
    )
    return load_prior(folder, loss.prior_images)


def concept_grid_masks(scene: Scene, grid: int) -> torch.Tensor:
    """The concepts' masks on the attention grid as uint8 0 or 255; (N, grid * grid)."""
    masks_NHW = np.stack([concept.mask for concept in scene.concepts])
    return torch.from_numpy((mask_grid(masks_NHW, grid) * 255).astype(np.uint8)).flatten(1)
