"""Composes training scenes: objects on a background, with masks and a caption.

A scene is drawn from one random generator and nothing else, so a shard of scenes can be drawn again
bit by bit from its number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from engine.pocket import backgrounds
from engine.pocket.recipe import captions, layout, objects
from engine.pocket.recipe.layout import SIDE
from engine.pocket.recipe.objects import FOCUS

MAX_OBJECTS = 3


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What a stream of scenes is made of; shares need not sum to one."""

    counts: tuple[float, float, float] = (0.22, 0.45, 0.33)
    """Shares of scenes with one, two and three objects."""

    focus: float = 0.25
    """Share of objects drawn from the names on which recall is measured."""

    plain: float = 0.3
    """Share of scenes with a plain background."""

    styled: float = 0.04
    """Share of scenes in a style (pixel art, black and white, painting)."""

    flip: float = 0.5
    """Probability that an object is mirrored."""

    grid: int = 8
    """Objects lie on a grid of this many pixels. At 8, a latent cell, the model need not learn the
    same object at sixty-four phases of the autoencoder's grid."""

    free: layout.Free | None = layout.FREE
    """Sizes and places; none: narrow columns."""

    joins: tuple[float, float, float] = (0.4, 0.35, 0.25)
    """Shares of captions in each of ``captions.JOINS``: people write "and" and commas."""

    bare: float = 0.25
    """Share of captions without articles: a learned token stands without one."""


FIRST = Mixture(counts=(0.36, 0.54, 0.1), flip=0.0, free=None, joins=(1.0, 0.0, 0.0), bare=0.0)
"""What the model saw until 635 thousand samples; measures are taken on it, so it must not move."""


class Scene(NamedTuple):
    """One composed scene."""

    image: np.ndarray
    """uint8 (SIDE, SIDE, 3)."""

    masks: np.ndarray
    """float32 (objects, SIDE, SIDE) in 0..1: the visible part of each object."""

    names: tuple[str, ...]
    """Name of each object, in the order of ``masks``."""

    caption: str
    kind: str
    """Name of the background."""


def shadow(centre: float, bottom: float, wide: float, high: float) -> np.ndarray:
    """Soft elliptic contact shadow, float32 (SIDE, SIDE), 0 (none) to about 0.45."""
    xs = (np.arange(SIDE, dtype=np.float32) - centre) / (wide * 0.5)
    ys = (np.arange(SIDE, dtype=np.float32) - bottom + high * 0.03) / (high * 0.1 + 2)
    return 0.45 * np.exp(-1.2 * ys**2)[:, None] * np.exp(-1.2 * xs**4)[None]


def stylise(image: np.ndarray, style: str) -> np.ndarray:
    """Apply one of the styles of ``captions.STYLE_OPENINGS`` to a uint8 picture."""
    picture = Image.fromarray(image)
    if style == "pixel":
        small = picture.resize((SIDE // 4, SIDE // 4), Image.Resampling.BOX).quantize(24)
        picture = small.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    elif style == "mono":
        picture = ImageOps.grayscale(picture).convert("RGB")
    elif style == "paint":
        small = picture.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX)
        picture = ImageOps.posterize(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), 3)
    else:
        raise ValueError(f"unknown style {style!r}")
    return np.asarray(picture)


class Composer:
    """Draws scenes of the given objects.

    Args:
        sprites: name -> size -> uint8 (height, width, 4), as ``objects.load_sprites`` returns.
        seed: seed of the bank of backgrounds.
        variants: how many pictures of each background the bank holds.
    """

    def __init__(
        self, sprites: Mapping[str, Mapping[int, np.ndarray]], seed: int = 0, variants: int = 48
    ):
        self.sprites = sprites
        self.focus = [name for name in sprites if name in FOCUS]
        self.rest = [name for name in sprites if name not in FOCUS]
        self.bank = {}
        for index, kind in enumerate(backgrounds.kinds()):
            rng = np.random.default_rng([seed, index])
            count = variants if kind in backgrounds.PLACES else max(1, variants // 4)
            self.bank[kind] = [backgrounds.paint(rng, kind) for _ in range(count)]

    def draw(self, rng: np.random.Generator, mixture: Mixture = Mixture()) -> Scene:
        """Draw a scene of the mixture."""
        shares = np.array(mixture.counts)
        count = int(rng.choice(len(shares), p=shares / shares.sum())) + 1
        names: list[str] = []
        while len(names) < count:
            pool = self.focus if rng.random() < mixture.focus or not self.rest else self.rest
            pool = pool or self.rest
            name = pool[rng.integers(len(pool))]
            if name not in names:
                names.append(name)
        if rng.random() < mixture.plain:
            colours = list(backgrounds.COLOURS)
            kind = f"plain {colours[rng.integers(len(colours))]}"
        else:
            places = list(backgrounds.PLACES)
            kind = places[rng.integers(len(places))]
        styles = list(captions.STYLE_OPENINGS)
        style = styles[rng.integers(len(styles))] if rng.random() < mixture.styled else ""
        # A number is drawn for a freedom only: scenes of ``FIRST`` stay what they were.
        join = captions.JOINS[0]
        if any(mixture.joins[1:]):
            shares = np.array(mixture.joins)
            join = captions.JOINS[rng.choice(len(shares), p=shares / shares.sum())]
        bare = bool(mixture.bare) and rng.random() < mixture.bare
        return self.compose(
            rng, names, kind, style, mixture.flip, mixture.grid, mixture.free, join, bare
        )

    def view(self, rng: np.random.Generator, kind: str) -> np.ndarray:
        """Crop a view of a background, float32 (SIDE, SIDE, 3) in 0..255."""
        bank = self.bank[kind]
        area = bank[rng.integers(len(bank))]
        margin = backgrounds.CANVAS - SIDE
        x, y = 8 * int(rng.integers(margin // 8 + 1)), margin // 2
        area = area[y : y + SIDE, x : x + SIDE]
        if rng.random() < 0.5:
            area = area[:, ::-1]
        return area * np.float32(rng.uniform(0.95, 1.04))

    def compose(
        self,
        rng: np.random.Generator,
        names: Sequence[str],
        kind: str,
        style: str = "",
        flip: float = 0.0,
        grid: int = 1,
        free: layout.Free | None = None,
        join: str = captions.JOINS[0],
        bare: bool = False,
    ) -> Scene:
        """Compose the named objects (at most three) on a background.

        Args:
            style: a key of ``captions.STYLE_OPENINGS``, or empty.
            flip: probability that an object is mirrored.
            grid: objects lie on multiples of this many pixels.
            free: sizes and places; none: narrow columns.
            join: one of ``captions.JOINS``.
            bare: leave out the caption's articles.
        """
        canvas = self.view(rng, kind)
        grounded = backgrounds.grounded(kind)
        if free is None:
            items = layout.columns(rng, self.sprites, names, grounded, flip, grid)
        else:
            items = layout.freely(rng, self.sprites, names, grounded, flip, grid, free)
        masks = np.zeros((len(names), SIDE, SIDE), np.float32)
        for index, sprite, x, y in items:
            high, wide = sprite.shape[:2]
            if kind != "space":
                dark = shadow(x + wide / 2, y + high, wide, high)
                canvas = canvas * (1 - dark[..., None])
            top, left = max(0, y), max(0, x)
            part = sprite[top - y : SIDE - y, left - x : SIDE - x].astype(np.float32)
            area = np.s_[top : top + part.shape[0], left : left + part.shape[1]]
            alpha = part[..., 3] / 255
            light = np.float32(rng.uniform(0.95, 1.04))
            canvas[area] += alpha[..., None] * (part[..., :3] * light - canvas[area])
            masks[(slice(None), *area)] *= 1 - alpha
            masks[(index, *area)] = alpha
        image = canvas.clip(0, 255).astype(np.uint8)
        if style:
            image = stylise(image, style)
        text = captions.caption(rng, names, backgrounds.phrases(kind), style, join, bare)
        return Scene(image, masks, tuple(names), text, kind)


def composer_of(names: dict[str, str]) -> Composer:
    """A composer of these objects, with its own backgrounds."""
    assets = objects.fetch(objects.data_dir())
    return Composer(objects.load_sprites(assets, names), seed=901, variants=12)
