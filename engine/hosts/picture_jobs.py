"""What the generation host draws: pictures of a prompt, or a photo with new things in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from engine.core.errors import UserError
from engine.core.prompt_grammar import TOKEN
from engine.drawing.editing import Region, edit_photo, encoded, latent_mask, steps_of
from engine.drawing.sampler import Beginning, Denoised, draw_latents, first_step
from engine.drawing.verdict import presence, verdict
from engine.drawing.work_window import scaled
from engine.results.learned_model import LearnedModel
from engine.results.pictures import slug
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry
from engine.runs.prompts import resolve_prompt
from engine.runs.requests import PhotoEdit, ThingPlace
from engine.scenes.arrangement import arrangement
from engine.scenes.cutouts import Placing, collage, movable
from engine.scenes.edit_sources import keep_photo, keep_region
from engine.scenes.image_files import Pixels, read_photo
from engine.scenes.mask_files import load_region
from engine.scenes.mask_ops import mask_digest, picture_digest
from engine.scenes.scene import open_saved_scene

SALT = 2404
"""An arrangement's chance is not the start noise's, though both have the picture's seed."""

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
    place: str = ""
    """Where the things were put, as `bas gen --place` reads it, where each picture differs."""


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


class Start(NamedTuple):
    """What a picture begins with in place of noise alone."""

    pixels: Pixels
    things_HW: np.ndarray | None = None
    """bool (H, W): only this is begun with (see `Beginning.held_HW`); None: all of it."""
    place: str = ""
    """Of an arrangement of this picture's own: its places."""


StartOf = Callable[[int], Start]
"""The start of a seed's picture."""


class PromptJob:
    """New pictures of one prompt: from noise, from a picture, or each from a start of its own."""

    def __init__(
        self, drawing: Drawing, start: Start | StartOf | None = None, noise: float = 1.0
    ) -> None:
        """`noise`: the share of the noise levels that is added to the start."""
        self._drawing, self._start, self._noise = drawing, start, noise

    @property
    def recipe(self) -> Mapping[str, object]:
        return {} if self._start is None else {"noise": self._noise}

    @property
    def before(self) -> Sequence[np.ndarray]:
        start = self._start
        return (scaled(start.pixels, self._drawing.resolution),) if isinstance(start, Start) else ()

    def stem(self, prompt: str) -> str:
        return slug(prompt)

    def keep(self, folder: Path) -> None:
        """The run has all that it needs."""

    def pictures(self, seeds: Sequence[int]) -> Iterator[Made]:
        start = self._start
        if start is None or isinstance(start, Start):
            yield from self._begun_with(start, seeds)
            return
        for index, seed in enumerate(seeds):
            yield from self._begun_with(start(seed), [seed], index)

    def _begun_with(
        self, start: Start | None, seeds: Sequence[int], before: int = 0
    ) -> Iterator[Made]:
        """Pictures with the same start; `before` counts those of other starts."""
        drawing, side = self._drawing, self._drawing.resolution
        family, prompt = drawing.model.family, drawing.prompts[0]
        things, grammar = drawing.things(prompt), drawing.model.manifest.grammar
        missing_below = drawing.model.config.sampling.missing_below
        without = [grammar.without(prompt, thing.token, thing.initializer) for thing in things]
        beginning, first = None, 0
        if start is not None:
            clean_1CHW = encoded(family, scaled(start.pixels, side))
            held_HW = None
            if start.things_HW is not None:
                cells = latent_mask(start.things_HW, family.codec.size(side))
                held_HW = torch.from_numpy(cells).to(family.device)
            else:
                solver = family.noise.solver("ddim", drawing.steps)
                first = first_step(family.noise, solver, self._noise)
            beginning = Beginning(clean_1CHW, self._noise, held_HW)

        def on_step(done: Denoised) -> None:
            told = done._replace(picture=before + done.picture, step=done.step - first)
            drawing.on_step(told, drawing.steps - first)

        batches = draw_latents(
            family, [prompt] * len(seeds), seeds=seeds, steps=drawing.steps,
            guidance=drawing.guidance, negative=drawing.negative, resolution=side,
            on_step=on_step, beginning=beginning,
        )  # fmt: skip
        place = "" if start is None else start.place
        for latents_1CHW in batches:
            score, words = math.nan, ""
            if len(things) > 1:
                found = presence(family, latents_1CHW, prompt, without, side=side)
                score, names = min(found), [thing.name for thing in things]
                if missing_below:
                    words = verdict(dict(zip(names, found, strict=True)), missing_below)
            yield Made(family.codec.decode(latents_1CHW)[0], score, words, place)


def read_square(path: Path) -> Pixels:
    """The middle square of a picture; raises UserError."""
    pixels = read_photo(path).pixels
    side = min(pixels.shape[:2])
    top, left = ((size - side) // 2 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


class SceneThings:
    """The cut-outs of a run's scene, which pictures may begin with. Raises UserError without it."""

    def __init__(self, run: RunDir, concepts: Sequence[ConceptEntry]) -> None:
        scene = open_saved_scene(run.scene)
        self._image, self._concepts = scene.image, concepts
        self._masks_NHW = np.stack([concept.mask for concept in scene.concepts])

    def placed(self, places: Sequence[ThingPlace]) -> Start:
        """The things where they are wanted; raises UserError for one that the run does not have."""
        tokens = [concept.token for concept in self._concepts]
        placings = [
            Placing(
                tokens.index(resolve_prompt(place.token, self._concepts)),
                place.x, place.y, place.width,
            )
            for place in places
        ]  # fmt: skip
        return Start(*collage(self._image, self._masks_NHW, placings))

    def arranged(self, tokens: Collection[str]) -> StartOf:
        """A start of each seed's own: these things side by side, in an order of chance.

        Raises UserError where none of them is a thing of the scene.
        """
        able = movable(self._masks_NHW)
        chosen = [
            index
            for index, concept in enumerate(self._concepts)
            if concept.token in tokens and not concept.is_background and index in able
        ]
        if not chosen:
            raise UserError(
                "the prompt names no thing of this run's scene to arrange", 'try "<asset0>"'
            )

        def of(seed: int) -> Start:
            placings = arrangement(self._masks_NHW, chosen, np.random.default_rng([seed, SALT]))
            places = [
                ThingPlace(token=f"<{self._concepts[one.concept].name}>", x=one.x, y=one.y,
                           width=one.width)
                for one in placings
            ]  # fmt: skip
            return self.placed(places)._replace(place=" ".join(place.text for place in places))

        return of


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
