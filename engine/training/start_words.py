"""Start words without extra weights: the nouns with which the base model predicts each thing best.

Textual inversion's own objective, asked of words instead of trained: for fixed draws of noise, the
masked diffusion loss of each concept under "a photo of a NOUN". One forward pass of a noun serves
all concepts, and most nouns are out of the race after the first draw.

Shape legend: B batch, N concepts, W nouns, C latent channels, H and W' latent size.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from engine.core.nouns import NOUNS
from engine.core.prompt_grammar import noun_phrase
from engine.drawing.sampler import condition
from engine.families.contract import Family
from engine.families.placement import computing
from engine.runs.events import Event, Progress
from engine.runs.manifest import ConceptEntry
from engine.scenes.mask_grid import GridRule
from engine.scenes.scene import Scene
from engine.training.pictures import Picture, Variant, encode_picture, stream

LEVELS = (0.6, 0.75, 0.45, 0.85)
"""Noise of the draws, as shares of all levels: where the picture still has to be decided, and what
is decided still shows. The first alone chooses the FINALISTS."""
FINALISTS = 24
"""Nouns a concept that all draws are asked about."""
BATCH = 8
OFFERED = 3
"""Nouns that are told beside the chosen one."""


class Draw(NamedTuple):
    """One noised picture, for all nouns the same."""

    noised_1CHW: torch.Tensor
    target_1CHW: torch.Tensor
    level_1: torch.Tensor


def nouns_of(text: str) -> tuple[str, ...]:
    """The candidates of the setting `initializer_nouns`: NOUNS where it is empty."""
    return tuple(word.strip() for word in text.split(",") if word.strip()) or NOUNS


def with_words(
    concepts: Sequence[ConceptEntry], found: Sequence[Sequence[str]]
) -> tuple[ConceptEntry, ...]:
    """Concepts without a word of their own with the best one that no other has.

    Two things of one class need different words: equal rows would be trained alike.
    """
    taken = {concept.initializer for concept in concepts}
    given: list[ConceptEntry] = []
    for concept, words in zip(concepts, found, strict=True):
        word = concept.initializer or next((word for word in words if word not in taken), "")
        taken.add(word)
        given.append(replace(concept, initializer=word))
    return tuple(given)


def word_notice(concept: ConceptEntry, words: Sequence[str]) -> str:
    """What was chosen, and what a person may choose instead."""
    others = [word for word in words if word != concept.initializer][:OFFERED]
    return (
        f"{concept.name} starts as {concept.initializer!r}; near it: {', '.join(others)} "
        f"(choose with --init {concept.name}=WORD)"
    )


def find_words(
    family: Family,
    scene: Scene,
    nouns: Sequence[str],
    *,
    grid: int,
    opening: str,
    seed: int,
    precision: str,
    latent_mask: GridRule = "nearest",
) -> Generator[Event | None, None, tuple[tuple[str, ...], ...]]:
    """Nouns for each concept of the scene (at the training size), the best first.

    `opening` stands before the noun, as before the tokens in training. Yields progress, and None
    where there is none to tell.
    """
    masks = np.stack([concept.mask for concept in scene.concepts])
    picture = Picture(scene.image, masks, tuple(range(len(masks))))
    encoded = encode_picture(family, picture, grid, mirror=False, latent_mask=latent_mask).plain
    draws = _draws(family, encoded, seed)
    masks_NHW = encoded.latent_masks_NHW.to(family.device)
    total = len(nouns)
    first: list[torch.Tensor] = []
    for start in range(0, total, BATCH):
        yield Progress(stage="words", done=start, total=total)
        words = nouns[start : start + BATCH]
        first += _losses(family, draws[0], masks_NHW, words, encoded, opening, precision)
    losses_WN = torch.stack(first)
    ranked_WN = losses_WN.argsort(0)
    best: list[int] = ranked_WN[:FINALISTS].flatten().tolist()
    finalists = sorted(set(best))
    for draw in draws[1:]:
        for start in range(0, len(finalists), BATCH):
            yield None
            some = finalists[start : start + BATCH]
            words = [nouns[index] for index in some]
            found = _losses(family, draw, masks_NHW, words, encoded, opening, precision)
            losses_WN[some] += torch.stack(found)
    yield Progress(stage="words", done=total, total=total)
    answers: list[tuple[str, ...]] = []
    for column in range(losses_WN.shape[1]):
        scores: list[float] = losses_WN[finalists, column].tolist()
        order = sorted(zip(scores, finalists, strict=True))
        answers.append(tuple(nouns[index] for _, index in order))
    return tuple(answers)


def _draws(family: Family, scene: Variant, seed: int) -> list[Draw]:
    generator = stream(seed, "start words")
    latents_1CHW = scene.mean_CHW[None].to(family.device)
    draws: list[Draw] = []
    for share in LEVELS:
        noise_1CHW = torch.randn(scene.mean_CHW[None].shape, generator=generator).to(family.device)
        level_1 = torch.tensor([int(share * family.noise.train_levels)], device=family.device)
        given = latents_1CHW, noise_1CHW, level_1
        draws.append(Draw(family.noise.add(*given), family.noise.target(*given), level_1))
    return draws


@torch.inference_mode()
def _losses(
    family: Family,
    draw: Draw,
    masks_NHW: torch.Tensor,
    nouns: Sequence[str],
    scene: Variant,
    opening: str,
    precision: str,
) -> list[torch.Tensor]:
    """Mean squared error within each concept's mask, (N,) for each noun."""
    count = len(nouns)
    with computing(family, precision):
        prompts = condition(family, [f"{opening} {noun_phrase(n)}".strip() for n in nouns])
        geometry_BG = torch.tensor([scene.geometry] * count, device=family.device)
        predicted_BCHW = family.predict(
            draw.noised_1CHW.expand(count, -1, -1, -1),
            draw.level_1.expand(count),
            prompts,
            geometry_BG.float(),
        )
    error_BHW = ((predicted_BCHW.float() - draw.target_1CHW) ** 2).mean(1)
    area_N = masks_NHW.sum((1, 2))
    losses_BN = torch.einsum("bhw,nhw->bn", error_BHW, masks_NHW) / area_N
    return list(losses_BN.cpu().clone())
