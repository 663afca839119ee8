"""Where the things of a scene stand and how large they are.

Two ways: ``columns``, narrow and for ever the same, in which the evaluation's scenes and the
judges' composites are laid; and ``freely``, the training's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.pocket.recipe.objects import SIZES

SIDE = 128
"""Side of a scene in pixels."""

# Longer side of an object in ``columns``, in pixels, by how many share the scene.
SIZE_RANGE = {1: (56, 104), 2: (48, 64), 3: (32, 40)}

Sprites = Mapping[str, Mapping[int, np.ndarray]]
"""Name -> size -> uint8 (height, width, 4)."""


class Placed(NamedTuple):
    """One object at its place."""

    number: int
    """Index among the scene's names."""

    sprite: np.ndarray
    """uint8 (height, width, 4)."""

    x: int
    y: int
    """Upper left corner in pixels; may lie a little outside."""


@dataclass(frozen=True, kw_only=True)
class Free:
    """Settings of ``freely``. Sizes are longer sides in pixels, heights shares of ``SIDE``."""

    sizes: tuple[tuple[int, ...], ...] = ((56, 64, 80, 96), (48, 56, 64), (40, 48))
    """Sizes to choose from for one, two and three things. Three of 48 fit, as most are narrower
    than high; at 40, a thing is five latent cells and loses its parts."""

    uneven: float = 0.15
    """Share of the scenes of several things in which one is large and the others small, so that
    size is not what tells how many things there are."""

    large: tuple[tuple[int, ...], ...] = ((), (80,), (56, 64))
    small: tuple[int, ...] = (40, 48)

    ground: tuple[float, float] = (0.66, 0.97)
    """Lower edges on a ground."""

    air: tuple[float, float] = (0.3, 0.7)
    """Centres where there is no ground."""

    scattered: float = 0.25
    """Share of the scenes without ground whose things lie anywhere, above one another too."""

    overlap: float = 0.1
    """Largest share of the smaller box that two scattered things may have in common."""


FREE = Free()


def columns(
    rng: np.random.Generator,
    sprites: Sprites,
    names: Sequence[str],
    grounded: bool,
    flip: float,
    grid: int,
) -> list[Placed]:
    """Each thing in a column of its own, on one line or nearly; far to near."""
    count = len(names)
    low, high = SIZE_RANGE[count]
    ladder = [size for size in SIZES if low <= size <= high]
    middles = (rng.permutation(count) + 0.5) * SIDE / count
    items = []
    for index, name in enumerate(names):
        sprite = sprites[name][ladder[rng.integers(len(ladder))]]
        if rng.random() < flip:
            sprite = sprite[:, ::-1]
        tall, wide = sprite.shape[:2]
        sway = SIDE / count * 0.14
        x = middles[index] + rng.uniform(-sway, sway) - wide / 2
        x = np.clip(x, -0.06 * wide, SIDE - 0.94 * wide)
        if grounded:
            y = rng.uniform(0.78, 0.96) * SIDE - tall
        else:
            y = rng.uniform(0.44, 0.58) * SIDE - tall / 2
        y = np.clip(y, 2, SIDE - 2 - tall)
        items.append(Placed(index, sprite, round(x / grid) * grid, round(y / grid) * grid))
    return sorted(items, key=_lower_edge)


def freely(
    rng: np.random.Generator,
    sprites: Sprites,
    names: Sequence[str],
    grounded: bool,
    flip: float,
    grid: int,
    free: Free,
) -> list[Placed]:
    """Things side by side with random gaps, or scattered; far to near where there is a ground."""
    count = len(names)
    sizes = _draw_sizes(rng, count, free)
    mirrored = rng.random(count) < flip
    chosen = [
        sprites[name][size][:, ::-1] if mirror else sprites[name][size]
        for name, size, mirror in zip(names, sizes, mirrored, strict=True)
    ]
    corners = None
    if not grounded and rng.random() < free.scattered:
        corners = _scatter(rng, chosen, free.overlap)
    if corners is None:
        corners = _row(rng, chosen, grounded, free)
    items = []
    for index, (sprite, mirror, (x, y)) in enumerate(zip(chosen, mirrored, corners, strict=True)):
        # Mirrored things lie on the grid by their right edge: their latent cells are then the
        # mirrored cells of the thing as it is, and there is no further phase to learn.
        beyond = sprite.shape[1] if mirror else 0
        x = round((x + beyond) / grid) * grid - beyond
        items.append(Placed(index, sprite, x, round(y / grid) * grid))
    if grounded:
        return sorted(items, key=_lower_edge)
    return [items[index] for index in rng.permutation(count).tolist()]


def _lower_edge(item: Placed) -> int:
    return item.y + item.sprite.shape[0]


def _draw_sizes(rng: np.random.Generator, count: int, free: Free) -> list[int]:
    def pick(ladder: Sequence[int]) -> int:
        return ladder[int(rng.integers(len(ladder)))]

    large = free.large[count - 1]
    if not large or rng.random() >= free.uneven:
        return [pick(free.sizes[count - 1]) for _ in range(count)]
    sizes = [pick(free.small) for _ in range(count)]
    sizes[rng.integers(count)] = pick(large)
    return sizes


def _row(
    rng: np.random.Generator, chosen: Sequence[np.ndarray], grounded: bool, free: Free
) -> list[tuple[float, float]]:
    """Corners (x, y) of things side by side in random order."""
    count = len(chosen)
    spare = SIDE - sum(sprite.shape[1] for sprite in chosen)
    if spare >= 0:
        shifts = np.sort(rng.random(count)) * spare
    else:
        # Too wide to stand apart: all overlap by the same.
        shifts = np.arange(count) * spare / max(1, count - 1)
    corners = [(0.0, 0.0)] * count
    left = 0
    for index, shift in zip(rng.permutation(count), shifts, strict=True):
        tall, wide = chosen[index].shape[:2]
        if grounded:
            y = rng.uniform(*free.ground) * SIDE - tall
        else:
            y = rng.uniform(*free.air) * SIDE - tall / 2
        corners[index] = (left + shift, float(np.clip(y, 0, SIDE - tall)))
        left += wide
    return corners


def _scatter(
    rng: np.random.Generator, chosen: Sequence[np.ndarray], overlap: float, tries: int = 30
) -> list[tuple[float, float]] | None:
    """Corners (x, y) anywhere; None when no free place was found for one of the things."""
    corners: list[tuple[float, float]] = []
    for sprite in chosen:
        tall, wide = sprite.shape[:2]
        for _ in range(tries):
            x, y = rng.uniform(0, SIDE - wide), rng.uniform(0, SIDE - tall)
            if all(
                _common((x, y), sprite, corner, other) <= overlap
                for corner, other in zip(corners, chosen[: len(corners)], strict=True)
            ):
                corners.append((x, y))
                break
        else:
            return None
    return corners


def _common(
    corner: tuple[float, float],
    sprite: np.ndarray,
    other_corner: tuple[float, float],
    other: np.ndarray,
) -> float:
    """Share of the smaller of two boxes that both cover."""
    (x, y), (u, v) = corner, other_corner
    (tall, wide), (high, broad) = sprite.shape[:2], other.shape[:2]
    across = max(0.0, min(x + wide, u + broad) - max(x, u))
    down = max(0.0, min(y + tall, v + high) - max(y, v))
    return across * down / min(tall * wide, high * broad)
