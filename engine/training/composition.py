"""Training pictures that the scene does not show: its things at new places, and without some.

A masked loss says what the sampled concepts look like. It says nothing of what else is in the
noised picture, so a token learns that the others stand beside it unnamed (ghosts), and one frame
teaches one order of left and right. Cut-outs at new places (after Seg-Mix of MuDI, arXiv
2404.04243) and pictures without the others take both lessons away.

Shape legend: N concepts, H and W picture size in pixels; masks are bool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from engine.core.prompt_grammar import ground_phrase
from engine.method.union_sampling import chance, randint, sample_subset
from engine.scenes.cutouts import (
    FULL,
    Box,
    Cutout,
    Masks,
    Pixels,
    box_of,
    cut,
    cut_off,
    joined,
    movable,
    painted,
    painted_over,
)

SMALLEST = 0.9
LARGEST = {1: 1.6, 2: 1.25}
LARGEST_OF_MANY = 1.1
"""Range of a thing's scale, by how many are composed: more than that and cut-outs get blurred."""
OVERLAP = 0.1
"""Boxes may overlap by this share of the thing that is placed."""
PLACINGS = 30
"""Tries to place one thing before all are placed anew."""
STANDINGS = 20
"""Tries to give a subset another order than the scene's before another subset is drawn."""
COMPOSINGS = 50
"""Subsets. Without another order each has one try, so that large things are together less often."""
SWAY = 10
"""A plain ground's colour moves by this much (of 255) in each channel."""


class Composition(NamedTuple):
    """A composed picture."""

    image: Pixels
    masks_NHW: Masks
    """What is seen of each concept; empty for those that are not in it."""
    concepts: tuple[int, ...]
    """Those that are, in a random order."""
    ground: str
    """How the prompt names the ground; empty where it does not, and then the ground is not to be
    learned either."""


def compositions(
    image: Pixels,
    masks_NHW: Masks,
    count: int,
    *,
    plain: float,
    grounds: Mapping[str, tuple[int, int, int]],
    cell: int,
    union: bool,
    generator: torch.Generator,
    reordered: float = 0.0,
) -> Iterator[Composition]:
    """Draw `count` compositions.

    A share of `plain` has a ground of a colour of `grounds` that the prompt names; the others have
    one that it does not name, or the scene's own with the things painted over. Places are
    multiples of `cell` pixels, a latent cell, from each thing's own place: an autoencoder's
    latents of a thing depend on where it lies in the cell. In a share of `reordered` at most half
    of the pairs have the scene's left and right, where there is room for that. Concepts that cannot
    be moved (see `movable`) are in none; there are no compositions where no concept can.
    """
    things = movable(masks_NHW)
    if not things:
        return
    empty = painted_over(image, joined(masks_NHW[list(things)]))
    colours = list(grounds)
    scene = _Scene(image, masks_NHW, cell, reordered=False)
    for _ in range(count):
        named = chance(plain, generator)
        flat = chance(0.5, generator)
        colour = colours[randint(len(colours), generator)]
        if named or flat:
            ground = _plain_ground(grounds[colour], image.shape[0], generator)
        else:
            ground = empty
        # Not drawn where the answer is known, so that other recipes keep their streams.
        anew = reordered > 0 and (reordered >= 1 or chance(reordered, generator))
        subset, placed = _compose(scene._replace(reordered=anew), things, union, generator)
        masks = _visible(masks_NHW.shape, subset, placed)
        words = ground_phrase(colour) if named else ""
        yield Composition(painted(ground, placed), masks, subset, words)


def without_others(image: Pixels, masks_NHW: Masks, kept: Sequence[int]) -> Pixels:
    """The picture with every thing but the kept ones painted over (see `movable`)."""
    others = [index for index in movable(masks_NHW) if index not in kept]
    own = joined(masks_NHW[list(kept)])
    return painted_over(image, joined(masks_NHW[others]) & ~own, spare=own)


class _Scene(NamedTuple):
    """What is cut out, and how it is put anew."""

    image: Pixels
    masks_NHW: Masks
    cell: int
    reordered: bool


def _compose(
    scene: _Scene, things: Sequence[int], union: bool, generator: torch.Generator
) -> tuple[tuple[int, ...], list[Cutout]]:
    """A sampled subset that finds room, and its things in their places."""
    for _ in range(COMPOSINGS):
        subset = sample_subset(things, generator, union=union)
        if placed := _stand(scene, subset, generator):
            return subset, placed
    # Things too large to stand beside each other: one alone always finds a place.
    index = things[randint(len(things), generator)]
    alone = _place(scene, index, 1, [], generator)
    assert alone is not None
    return (index,), [alone]


def _stand(scene: _Scene, subset: Sequence[int], generator: torch.Generator) -> list[Cutout] | None:
    """All things of a subset at places of chance; None where they find none."""
    best: tuple[float, list[Cutout]] | None = None
    for _ in range(STANDINGS if scene.reordered else 1):
        placed: list[Cutout] = []
        for index in subset:
            cutout = _place(scene, index, len(subset), placed, generator)
            if cutout is None:
                break
            placed.append(cutout)
        if len(placed) < len(subset):
            continue
        # A thing may be hidden behind another entirely.
        visible = _visible(scene.masks_NHW.shape, subset, placed)[list(subset)]
        if not visible.any(axis=(1, 2)).all():
            continue
        same = _as_before(scene, subset, placed) if scene.reordered else 0.0
        if same <= 0.5:
            return placed
        # Where an edge holds things no order may be new enough: then the newest that was found.
        if best is None or same < best[0]:
            best = same, placed
    return best[1] if best else None


def _as_before(scene: _Scene, subset: Sequence[int], placed: Sequence[Cutout]) -> float:
    """Share of pairs that stand left and right of each other as in the scene; 0 for one thing."""
    before = [_middle(box_of(scene.masks_NHW[index])) for index in subset]
    now = [_middle(one.box) for one in placed]
    pairs = list(combinations(range(len(subset)), 2))
    same = sum((before[i] < before[j]) == (now[i] < now[j]) for i, j in pairs)
    return same / max(len(pairs), 1)


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _place(
    scene: _Scene,
    index: int,
    together: int,
    placed: Sequence[Cutout],
    generator: torch.Generator,
) -> Cutout | None:
    """Scale one thing and find it a place beside the others; None where there is none."""
    image, mask, cell = scene.image, scene.masks_NHW[index], scene.cell
    side = image.shape[0]
    top, left, bottom, right = box_of(mask)
    high, wide = bottom - top, right - left
    largest = LARGEST.get(together, LARGEST_OF_MANY)
    scale = SMALLEST + (largest - SMALLEST) * float(torch.rand((), generator=generator))
    scale = min(scale, FULL * side / max(high, wide))
    if together > 1:
        scale = min(scale, side / together / wide)
    pixels, alpha, _ = cut(image, mask, scale)
    size = alpha.shape[1], alpha.shape[0]
    cut_across, cut_along = cut_off(mask)
    for _ in range(PLACINGS):
        x = _on_grid(randint(side - size[0] + 1, generator), left, cell, side - size[0])
        # It stays near its height: things stand on a ground.
        drop = cell * (randint(3, generator) - 1)
        y = min(max(bottom + drop - size[1], 0), side - size[1])
        # What the picture's edge cuts off stays at that edge: its cut is no outline.
        x = _at_edge(x, left, right, size[0], side) if cut_across else x
        y = _at_edge(y, top, bottom, size[1], side) if cut_along else y
        box = (y, x, y + size[1], x + size[0])
        if all(_shared(box, other.box) <= OVERLAP * size[0] * size[1] for other in placed):
            return Cutout(pixels, alpha, box)
    return None


def _at_edge(value: int, low: int, high: int, size: int, side: int) -> int:
    """The start of something that was low..high long along a side, where it touches one edge."""
    if (low == 0) == (high == side):
        return value
    return 0 if low == 0 else side - size


def _on_grid(value: int, origin: int, cell: int, limit: int) -> int:
    """The value moved to a whole number of cells from the origin, within 0..limit."""
    moved = value - (value - origin) % cell
    return min(moved if moved >= 0 else moved + cell, limit)


def _shared(first: Box, second: Box) -> int:
    """Common area of two boxes."""
    high = min(first[2], second[2]) - max(first[0], second[0])
    wide = min(first[3], second[3]) - max(first[1], second[1])
    return max(0, high) * max(0, wide)


def _visible(shape: tuple[int, ...], subset: Sequence[int], placed: Sequence[Cutout]) -> Masks:
    """What is seen of each concept where later ones stand in front."""
    masks = np.zeros(shape, bool)
    for index, (_, alpha, (top, left, bottom, right)) in zip(subset, placed, strict=True):
        masks[:, top:bottom, left:right] &= alpha <= 0.5
        masks[index, top:bottom, left:right] |= alpha > 0.5
    return masks


def _plain_ground(colour: tuple[int, int, int], side: int, generator: torch.Generator) -> Pixels:
    """One colour, moved a little."""
    sway = torch.randint(-SWAY, SWAY + 1, (3,), generator=generator).numpy()
    moved = (np.array(colour) + sway).clip(0, 255).astype(np.uint8)
    return np.tile(moved, (side, side, 1))
