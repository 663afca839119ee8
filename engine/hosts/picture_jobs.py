"""What the generation host draws: pictures of a prompt, or a photo with new things in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from engine.core.prompt_grammar import TOKEN
from engine.drawing.editing import Region, edit_photo, encoded, steps_of
from engine.drawing.sampler import Beginning, Denoised, draw_latents, first_step
from engine.drawing.verdict import presence, verdict
from engine.drawing.work_window import scaled
from engine.results.learned_model import LearnedModel
from engine.results.pictures import slug
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry
from engine.runs.prompts import resolve_prompt
from engine.runs.requests import PhotoEdit, ThingPlace
from engine.scenes.cutouts import Placing, collage
from engine.scenes.edit_sources import keep_photo, keep_region
from engine.scenes.image_files import Pixels, read_photo
from engine.scenes.mask_files import load_region
from engine.scenes.mask_ops import mask_digest, picture_digest
from engine.scenes.scene import open_saved_scene

OnJobStep = Callable[[Denoised, int], None]
"""Told the step of a picture and of how many it is; raises Cancelled to end the job."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How to draw, whatever the job is."""

    model: LearnedModel
    prompts: tuple[str, ...]
    """As the text encoders read them; one for each region of a photo."""
    steps: int
    guidance: float
    negative: str
    on_step: OnJobStep

    def things(self, prompt: str) -> list[ConceptEntry]:
        """The learned things that a prompt names; an embedding's vectors are none."""
        known = {concept.token: concept for concept in self.model.concepts}
        found = dict.fromkeys(match.group(0) for match in TOKEN.finditer(prompt))
        return [known[token] for token in found if token in known]

    @property
    def resolution(self) -> int:
        """Side of the square that is drawn, pixels."""
        return self.model.config.resolution or self.model.family.resolution


class Made(NamedTuple):
    """A drawn picture."""

    pixels: np.ndarray
    """uint8 (H, W, 3)."""
    score: float = math.nan
    """Of the thing that is there least (`engine.drawing.verdict`); NaN where none is compared."""
    verdict: str = ""
    """What is missing, or that nothing is; empty where the base's settings know no threshold."""


class Job(Protocol):
    """A request, ready to be drawn."""

    @property
    def recipe(self) -> Mapping[str, object]:
        """What the PNG files tell besides the prompt's own recipe."""
        ...

    @property
    def before(self) -> Sequence[np.ndarray]:
        """Pictures that the sheet shows first."""
        ...

    def stem(self, prompt: str) -> str:
        """How the files' names begin."""
        ...

    def keep(self, folder: Path) -> None:
        """Write beside the pictures what it takes to draw them again."""
        ...

    def pictures(self, seeds: Sequence[int]) -> Iterator[Made]:
        """One picture a seed."""
        ...


class PromptJob:
    """New pictures of one prompt, from noise or from a picture."""

    def __init__(self, drawing: Drawing, picture: Pixels | None = None, noise: float = 1.0) -> None:
        """`noise`: the share of the noise levels that is added to the picture."""
        self._drawing, self._picture, self._noise = drawing, picture, noise

    @property
    def recipe(self) -> Mapping[str, object]:
        return {} if self._picture is None else {"noise": self._noise}

    @property
    def before(self) -> Sequence[np.ndarray]:
        return () if self._picture is None else (scaled(self._picture, self._drawing.resolution),)

    def stem(self, prompt: str) -> str:
        return slug(prompt)

    def keep(self, folder: Path) -> None:
        """The run has all that it needs."""

    def pictures(self, seeds: Sequence[int]) -> Iterator[Made]:
        drawing, side = self._drawing, self._drawing.resolution
        family, prompt = drawing.model.family, drawing.prompts[0]
        things, grammar = drawing.things(prompt), drawing.model.manifest.grammar
        missing_below = drawing.model.config.sampling.missing_below
        without = [grammar.without(prompt, thing.token, thing.initializer) for thing in things]
        beginning, first = None, 0
        if self._picture is not None:
            solver = family.noise.solver("ddim", drawing.steps)
            first = first_step(family.noise, solver, self._noise)
            beginning = Beginning(encoded(family, scaled(self._picture, side)), self._noise)

        def on_step(done: Denoised) -> None:
            drawing.on_step(done._replace(step=done.step - first), drawing.steps - first)

        batches = draw_latents(
            family, [prompt] * len(seeds), seeds=seeds, steps=drawing.steps,
            guidance=drawing.guidance, negative=drawing.negative, resolution=side,
            on_step=on_step, beginning=beginning,
        )  # fmt: skip
        for latents_1CHW in batches:
            score, words = math.nan, ""
            if len(things) > 1:
                found = presence(family, latents_1CHW, prompt, without, side=side)
                score, names = min(found), [thing.name for thing in things]
                if missing_below:
                    words = verdict(dict(zip(names, found, strict=True)), missing_below)
            yield Made(family.codec.decode(latents_1CHW)[0], score, words)


def read_square(path: Path) -> Pixels:
    """The middle square of a picture; raises UserError."""
    pixels = read_photo(path).pixels
    side = min(pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def read_collage(
    run: RunDir, concepts: Sequence[ConceptEntry], places: Sequence[ThingPlace]
) -> Pixels:
    """The scene's things at other places; raises UserError for one that the run does not have."""
    scene = open_saved_scene(run.scene)
    tokens = [concept.token for concept in concepts]
    placings = [
        Placing(tokens.index(resolve_prompt(place.token, concepts)), place.x, place.y, place.width)
        for place in places
    ]
    return collage(scene.image, np.stack([concept.mask for concept in scene.concepts]), placings)


class EditedPhoto(NamedTuple):
    """A photo and its regions, read."""

    name: str
    """The file's, without its suffix."""
    pixels: Pixels
    masks: tuple[np.ndarray, ...]
    """bool (H, W) each."""
    start: float
    decoder_steps: int


def read_edit(edit: PhotoEdit) -> EditedPhoto:
    """The photo upright and without metadata, its masks turned along; raises UserError."""
    photo = read_photo(edit.photo)
    masks = tuple(
        load_region(region.mask, photo, edit.photo, region.box) for region in edit.regions
    )
    return EditedPhoto(edit.photo.stem, photo.pixels, masks, edit.start, edit.decoder_steps)


class PhotoJob:
    """The same photo with other things in its regions; a seed draws all of its regions."""

    def __init__(self, drawing: Drawing, photo: EditedPhoto) -> None:
        self._drawing, self._photo = drawing, photo

    @property
    def recipe(self) -> Mapping[str, object]:
        photo = self._photo
        told: dict[str, object] = {
            "photo": photo.name,
            "photo_digest": picture_digest(photo.pixels),
            "masks": " ".join(map(mask_digest, photo.masks)),
            "start": photo.start,
        }
        return told | ({"decoder_steps": photo.decoder_steps} if photo.decoder_steps else {})

    @property
    def before(self) -> Sequence[np.ndarray]:
        return (self._photo.pixels,)

    def stem(self, prompt: str) -> str:
        return f"{slug(self._photo.name)[:30]}-{slug(prompt)}"

    def keep(self, folder: Path) -> None:
        keep_photo(self._photo.pixels, self._photo.name, folder)
        for mask in self._photo.masks:
            keep_region(mask, folder)

    def pictures(self, seeds: Sequence[int]) -> Iterator[Made]:
        drawing, photo = self._drawing, self._photo
        family, sampler = drawing.model.family, "ddim"
        regions = list(map(Region, photo.masks, drawing.prompts))
        each = steps_of(family, sampler, drawing.steps, photo.start, photo.decoder_steps)
        for index, seed in enumerate(seeds):

            def on_step(region: int, done: Denoised, index: int = index) -> None:
                step = region * each + done.step
                drawing.on_step(Denoised(index, step, done.latents), each * len(regions))

            pixels = edit_photo(
                family,
                photo.pixels,
                regions,
                seed=seed,
                steps=drawing.steps,
                guidance=drawing.guidance,
                negative=drawing.negative,
                resolution=drawing.resolution,
                sampler=sampler,
                start=photo.start,
                decoder_steps=photo.decoder_steps,
                on_step=on_step,
            )
            yield Made(pixels)
