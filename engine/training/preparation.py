"""Everything a run prepares before its first step: encoded pictures and the prior.

Both are generators that yield progress and return their result (`data = yield from ...`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from engine.core.config import TrainConfig
from engine.core.method_config import DataConfig, parse_grounds
from engine.core.prompt_grammar import AT, ground_phrase
from engine.drawing.sampler import Cancelled
from engine.families.contract import Family, Posterior
from engine.runs.commands import CommandQueue
from engine.runs.events import Event, Progress
from engine.scenes.mask_grid import GridRule, mask_grid
from engine.scenes.scene import Scene
from engine.training.composition import compositions
from engine.training.pictures import (
    Pair,
    Picture,
    TrainingPictures,
    cropped_pictures,
    cutout_pictures,
    encode_picture,
    erased_pictures,
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


def add_concept_tokens(
    family: Family, config: TrainConfig, initializers: Sequence[str], *, background: bool = False
) -> None:
    """Give the model one placeholder token per concept, with the prompts' words trainable."""
    prompts = [*prompt_words(config, initializers), config.loss.prior_prompt]
    prompts += [AT] if background else []
    word_ids: list[int] = family.text.tokenize(prompts).flatten().unique().tolist()
    rows = family.text.initial_rows(
        initializers, stream(config.seed, "rows"), default=config.initializer
    )
    family.text.add_tokens(rows, word_ids)


def prompt_words(config: TrainConfig, initializers: Sequence[str]) -> list[str]:
    """Texts that hold every word of the training prompts but the tokens."""
    texts = [f"{config.prompt} and".strip()]
    if config.prompt_join == "comma":
        texts.append(",")
    if config.prompt_article:
        texts.append("a")
    if config.data.compose > 0 and config.data.compose_plain > 0:
        texts += [ground_phrase(colour) for colour in parse_grounds(config.data.grounds)]
    if config.prompt_nouns:
        texts += [word for word in initializers if word]
    return texts


def encode_scene(
    family: Family,
    scene: Scene,
    data: DataConfig,
    *,
    grid: int,
    seed: int,
    original: int = 0,
    latent_mask: GridRule = "nearest",
) -> Generator[Event | None, None, TrainingPictures]:
    """Encode the scene at the training resolution once, with all that samples may show of it.

    `scene` is already resized, from `original` pixels (0: it was not).
    """
    image = scene.image
    masks = np.stack([concept.mask for concept in scene.concepts])
    union = data.union_sampling
    erase_up_to = (data.erase_up_to or len(masks)) if data.erase else 0
    generator = stream(seed, "pictures")
    first: list[Picture] = []
    if data.cutouts:
        first += cutout_pictures(image, masks, data.variants, union=union, generator=generator)
    else:
        first.append(Picture(image, masks, tuple(range(len(masks)))))
        if data.crop > 0:
            first += cropped_pictures(
                image, masks, data.variants, data.crop_min_side, generator,
                beyond=data.crop_beyond, erase_up_to=erase_up_to, union=union,
            )  # fmt: skip
    composed = _composed(family, image, masks, data, stream(seed, "compositions"))
    erased = list(erased_pictures(image, masks, erase_up_to, union=union))
    pictures = [*first, *composed, *erased]
    pairs: list[Pair] = []
    for index, picture in enumerate(pictures):
        yield Progress(stage="encode", done=index, total=len(pictures))
        pair = encode_picture(
            family, picture, grid,
            mirror=data.flip > 0, original=original, latent_mask=latent_mask,
        )  # fmt: skip
        pairs.append(pair)
    yield Progress(stage="encode", done=len(pictures), total=len(pictures))
    last = len(first) + len(composed)
    return TrainingPictures(
        scene=pairs[0],
        others=tuple(pairs[1 : len(first)]),
        composed=tuple(pairs[len(first) : last]),
        erased={
            frozenset(picture.concepts): pair
            for picture, pair in zip(erased, pairs[last:], strict=True)
        },
    )


def _composed(
    family: Family,
    image: np.ndarray,
    masks: np.ndarray,
    data: DataConfig,
    generator: torch.Generator,
) -> list[Picture]:
    if data.compose == 0:
        return []
    side = image.shape[0]
    made = compositions(
        image,
        masks,
        data.compositions,
        plain=data.compose_plain,
        grounds=parse_grounds(data.grounds),
        cell=side // family.codec.size(side),
        union=data.union_sampling,
        generator=generator,
        reordered=data.compose_reordered,
    )
    return [
        Picture(one.image, one.masks_NHW, one.concepts, exact=True, whole=False, ground=one.ground)
        for one in made
    ]


def prepare_prior_posteriors(
    family: Family,
    cache: Path,
    config: TrainConfig,
    *,
    base_hash: str,
    precision: str,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Event | None, None, Posterior]:
    """Sample (once per base model) and load the prior pictures' posteriors."""
    loss, guidance = config.loss, config.sampling.guidance
    resolution = config.resolution or family.resolution
    folder = prior_folder(
        cache,
        base_hash=base_hash,
        prompt=loss.prior_prompt,
        steps=loss.prior_steps,
        guidance=guidance,
        resolution=resolution,
        sampler=loss.prior_sampler,
        base=config.base,
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
        sampler=loss.prior_sampler,
        stopped=stopped,
    )
    return load_prior(folder, loss.prior_images)


def concept_grid_masks(scene: Scene, grid: int) -> torch.Tensor:
    """The concepts' masks on the attention grid as uint8 0 or 255; (N, grid * grid)."""
    masks_NHW = np.stack([concept.mask for concept in scene.concepts])
    return torch.from_numpy((mask_grid(masks_NHW, grid) * 255).astype(np.uint8)).flatten(1)
