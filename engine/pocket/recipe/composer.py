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
from engine.pocket.recipe import captions, objects
from engine.pocket.recipe.objects import FOCUS, SIZES

SIDE = 128
"""Side of a scene in pixels."""

MAX_OBJECTS = 3

# Longer side of an object in pixels, by how many share the scene.
SIZE_RANGE = {1: (56, 104), 2: (48, 64), 3: (32, 40)}


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What a stream of scenes is made of; shares need not sum to one."""

    counts: tuple[float, float, float] = (0.36, 0.54, 0.1)
    """Shares of scenes with one, two and three objects."""

    focus: float = 0.25
    """Share of objects drawn from the names on which recall is measured."""

    plain: float = 0.3
    """Share of scenes with a plain background."""

    styled: float = 0.04
    """Share of scenes in a style (pixel art, black and white, painting)."""

    flip: float = 0.0
    """Probability that an object is mirrored."""

    grid: int = 8
    """Objects lie on a grid of this many pixels. At 8, a latent cell, the model need not learn the
    same object at sixty-four phases of the autoencoder's grid."""


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
        return self.compose(rng, names, kind, style, mixture.flip, mixture.grid)

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
    ) -> Scene:
        """Compose the named objects (at most three) on a background."""
        canvas = self.view(rng, kind)
        items = self._place(rng, names, backgrounds.grounded(kind), flip, grid)
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
        text = captions.caption(rng, names, backgrounds.phrases(kind), style)
        return Scene(image, masks, tuple(names), text, kind)

    def _place(self, rng, names: Sequence[str], grounded: bool, flip: float, grid: int):
        """Choose size and place of each object: (index, sprite, x, y), far to near."""
        count = len(names)
        low, high = SIZE_RANGE[count]
        ladder = [size for size in SIZES if low <= size <= high]
        columns = (rng.permutation(count) + 0.5) * SIDE / count
        items = []
        for index, name in enumerate(names):
            sprite = self.sprites[name][ladder[rng.integers(len(ladder))]]
            if rng.random() < flip:
                sprite = sprite[:, ::-1]
            tall, wide = sprite.shape[:2]
            sway = SIDE / count * 0.14
            x = columns[index] + rng.uniform(-sway, sway) - wide / 2
            x = np.clip(x, -0.06 * wide, SIDE - 0.94 * wide)
            if grounded:
                y = rng.uniform(0.78, 0.96) * SIDE - tall
            else:
                y = rng.uniform(0.44, 0.58) * SIDE - tall / 2
            y = np.clip(y, 2, SIDE - 2 - tall)
            items.append((index, sprite, round(x / grid) * grid, round(y / grid) * grid))
        return sorted(items, key=lambda item: item[3] + item[1].shape[0])


def composer_of(names: dict[str, str]) -> Composer:
    """A composer of these objects, with its own backgrounds."""
    assets = objects.fetch(objects.data_dir())
    return Composer(objects.load_sprites(assets, names), seed=901, variants=12)
