"""Training pictures that the scene does not show: its things at new places, and without some.

A masked loss says what the sampled concepts look like. It says nothing of what else is in the
noised picture, so a token learns that the others stand beside it unnamed (ghosts), and one frame
teaches one order of left and right. Cut-outs at new places (after Seg-Mix of MuDI, arXiv
2404.04243) and pictures without the others take both lessons away.

Shape legend: N concepts, H and W picture size in pixels; masks are bool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from engine.core.prompt_grammar import ground_phrase
from engine.method.union_sampling import chance, randint, sample_subset
from engine.scenes.mask_ops import mask_box

Pixels = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Top, left, bottom, right."""

SMALLEST = 0.9
LARGEST = {1: 1.6, 2: 1.25}
LARGEST_OF_MANY = 1.1
"""Range of a thing's scale, by how many are composed: more than that and cut-outs get blurred."""
FULL = 0.9
"""A thing is at most this share of the picture's side, and its share of the width of several."""
OVERLAP = 0.1
"""Boxes may overlap by this share of the thing that is placed."""
PLACINGS = 30
"""Tries to place one thing before the whole composition is drawn anew."""
COMPOSINGS = 50
CUT = 0.35
"""A thing that touches the picture's edge with this share of its height or width is cut off by
it, and not only near it."""
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
) -> Iterator[Composition]:
    """Draw `count` compositions.

    A share of `plain` has a ground of a colour of `grounds` that the prompt names; the others have
    one that it does not name, or the scene's own with the things painted over. Places are
    multiples of `cell` pixels, a latent cell, from each thing's own place: an autoencoder's
    latents of a thing depend on where it lies in the cell. Concepts that cannot be moved (see
    `movable`) are in none; there are no compositions where no concept can.
    """
    things = movable(masks_NHW)
    if not things:
        return
    empty = painted_over(image, _union(masks_NHW[list(things)]))
    colours = list(grounds)
    for _ in range(count):
        named = chance(plain, generator)
        flat = chance(0.5, generator)
        colour = colours[randint(len(colours), generator)]
        if named or flat:
            ground = _plain_ground(grounds[colour], image.shape[0], generator)
        else:
            ground = empty
        words = ground_phrase(colour) if named else ""
        yield _compose(image, masks_NHW, things, ground, words, cell, union, generator)


def movable(masks_NHW: Masks) -> tuple[int, ...]:
    """Concepts that are things in the picture, not the picture's ground: those whose box leaves
    room to move. A mask of the background spans it all."""
    sides = masks_NHW.shape[1:]
    boxes = [box_of(mask) for mask in masks_NHW]
    return tuple(
        index
        for index, (top, left, bottom, right) in enumerate(boxes)
        if bottom - top <= FULL * sides[0] or right - left <= FULL * sides[1]
    )


def without_others(image: Pixels, masks_NHW: Masks, kept: Sequence[int]) -> Pixels:
    """The picture with every thing but the kept ones painted over (see `movable`)."""
    others = [index for index in movable(masks_NHW) if index not in kept]
    own = _union(masks_NHW[list(kept)])
    return painted_over(image, _union(masks_NHW[others]) & ~own, spare=own)


def painted_over(image: Pixels, hole: Masks, *, spare: Masks | None = None) -> Pixels:
    """The hole and a margin filled from around it; what `spare` holds stays as it is."""
    if not hole.any():
        return image
    side = image.shape[0]
    margin = 1 + 2 * max(1, side // 40)
    grown = cv2.dilate(hole.astype(np.uint8), np.ones((margin, margin), np.uint8))
    if spare is not None:
        grown[spare] = 0
    # Filled at a small size: a hole has no detail to keep, and the time grows with its area.
    small = min(side, 128)
    size = (small, small)
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    where = cv2.resize(grown, size, interpolation=cv2.INTER_NEAREST)
    if not where.any():
        return image
    filled = cv2.inpaint(coarse, where, 5, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(grown[:, :, None] > 0, filled, image).astype(np.uint8)


class Placing(NamedTuple):
    """Where a thing is to stand, in shares of the picture's side."""

    concept: int
    x: float
    y: float
    """Its middle."""
    width: float
    """0: as in the scene."""


def collage(image: Pixels, masks_NHW: Masks, placings: Sequence[Placing]) -> Pixels:
    """The scene's ground with cut-outs of its things where they are wanted, the last in front.

    A thing never leaves the picture: one that would is moved in, and made smaller where it must.
    """
    side = image.shape[0]
    things = list(movable(masks_NHW))
    ground = painted_over(image, _union(masks_NHW[things])) if things else image
    placed: list[_Cutout] = []
    for concept, x, y, width in placings:
        top, left, bottom, right = box_of(masks_NHW[concept])
        scale = width * side / (right - left) if width else 1.0
        scale = min(scale, side / max(bottom - top, right - left))
        cutout = _cut(image, masks_NHW[concept], scale)
        high, wide = cutout.alpha.shape
        y0 = min(max(round(y * side - high / 2), 0), side - high)
        x0 = min(max(round(x * side - wide / 2), 0), side - wide)
        placed.append(cutout._replace(box=(y0, x0, y0 + high, x0 + wide)))
    return _painted(ground, placed)


def box_of(mask: Masks) -> Box:
    """The box around a mask that is not empty."""
    box = mask_box(mask)
    return box.y0, box.x0, box.y1, box.x1


def _union(masks_KHW: Masks) -> Masks:
    return np.asarray(masks_KHW.any(axis=0), bool)


class _Cutout(NamedTuple):
    """A thing at its new size and place."""

    pixels: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    box: Box


def _compose(
    image: Pixels,
    masks_NHW: Masks,
    things: Sequence[int],
    ground: Pixels,
    words: str,
    cell: int,
    union: bool,
    generator: torch.Generator,
) -> Composition:
    for _ in range(COMPOSINGS):
        subset = sample_subset(things, generator, union=union)
        placed: list[_Cutout] = []
        for index in subset:
            cutout = _place(image, masks_NHW[index], len(subset), placed, cell, generator)
            if cutout is None:
                break
            placed.append(cutout)
        if len(placed) == len(subset):
            masks = _visible(masks_NHW.shape, subset, placed)
            # A thing may be hidden behind another entirely.
            if masks[list(subset)].any(axis=(1, 2)).all():
                return Composition(_painted(ground, placed), masks, subset, words)
    # Things too large to stand beside each other: one alone always finds a place.
    index = things[randint(len(things), generator)]
    alone = _place(image, masks_NHW[index], 1, [], cell, generator)
    assert alone is not None
    masks = _visible(masks_NHW.shape, (index,), [alone])
    return Composition(_painted(ground, [alone]), masks, (index,), words)


def _place(
    image: Pixels,
    mask: Masks,
    together: int,
    placed: Sequence[_Cutout],
    cell: int,
    generator: torch.Generator,
) -> _Cutout | None:
    """Scale one thing and find it a place beside the others; None where there is none."""
    side = image.shape[0]
    top, left, bottom, right = box_of(mask)
    high, wide = bottom - top, right - left
    largest = LARGEST.get(together, LARGEST_OF_MANY)
    scale = SMALLEST + (largest - SMALLEST) * float(torch.rand((), generator=generator))
    scale = min(scale, FULL * side / max(high, wide))
    if together > 1:
        scale = min(scale, side / together / wide)
    pixels, alpha, _ = _cut(image, mask, scale)
    size = alpha.shape[1], alpha.shape[0]
    cut_across = max(mask[:, 0].sum(), mask[:, -1].sum()) > CUT * high
    cut_along = max(mask[0].sum(), mask[-1].sum()) > CUT * wide
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
            return _Cutout(pixels, alpha, box)
    return None


def _cut(image: Pixels, mask: Masks, scale: float) -> _Cutout:
    """A thing at another size, at no place yet."""
    top, left, bottom, right = box_of(mask)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    scaling = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    window = np.s_[top:bottom, left:right]
    pixels = cv2.resize(image[window], size, interpolation=scaling).astype(np.float32)
    alpha = cv2.resize(
        mask[window].astype(np.float32), size, interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    return _Cutout(pixels, alpha, (0, 0, size[1], size[0]))


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


def _painted(ground: Pixels, placed: Sequence[_Cutout]) -> Pixels:
    """The cut-outs on the ground, the last one in front."""
    canvas = ground.astype(np.float32)
    for pixels, alpha, (top, left, bottom, right) in placed:
        area = canvas[top:bottom, left:right]
        area += alpha[:, :, None] * (pixels - area)
    return canvas.clip(0, 255).astype(np.uint8)


def _visible(shape: tuple[int, ...], subset: Sequence[int], placed: Sequence[_Cutout]) -> Masks:
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
