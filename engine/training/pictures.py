"""The training pictures, encoded once: the scene, its mirror image, and what is made of it.

Shape legend: N concepts, C latent channels, H and W latent size, Q = grid * grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, islice
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import torch

from engine.families.contract import Family, Geometry
from engine.method.union_sampling import chance, randint, sample_subset
from engine.scenes.cutouts import Box, box_of, cut_off, joined, movable, painted_over
from engine.scenes.mask_grid import GridRule, mask_grid
from engine.training.composition import without_others

ERASED = 30
"""Most pictures without some concepts; all proper subsets of up to five."""


class Variant(NamedTuple):
    """One encoded picture with its masks."""

    mean_CHW: torch.Tensor
    std_CHW: torch.Tensor
    latent_masks_NHW: torch.Tensor
    grid_masks_NQ: torch.Tensor
    concepts: tuple[int, ...]
    """Concepts that may be sampled from it."""
    exact: bool
    """It is for just these concepts (cut-outs show no others): take them all."""
    whole: bool
    """In the scene's own frame, but for the mirroring; false for crops."""
    mirrored: bool
    geometry: Geometry
    """What part of which picture it shows."""
    ground: str
    """How the prompt names the ground; then the loss takes the whole picture. Mostly empty."""


class Pair(NamedTuple):
    """A picture and its mirror image, encoded separately: a VAE is not flip-equivariant."""

    plain: Variant
    mirrored: Variant | None = None
    """None where no sample is mirrored."""


class Window(NamedTuple):
    """A square part of a picture, in pixels."""

    top: int
    left: int
    """Below 0 where it reaches over the picture's edge."""
    size: int


class Picture(NamedTuple):
    """A training picture before encoding: uint8 (H, W, 3) and bool (N, H, W)."""

    image: np.ndarray
    masks: np.ndarray
    concepts: tuple[int, ...]
    exact: bool = False
    whole: bool = True
    window: Window | None = None
    """For a crop the square that was cut, in pixels of the scene at the training size."""
    ground: str = ""
    """What it is called where the picture has a plain one that the prompt names."""

    def geometry(self, original: int, *, mirrored: bool) -> Geometry:
        """What part of which picture it shows; the scene was scaled from `original` pixels."""
        side = self.image.shape[0]
        if self.window is None:
            return Geometry.whole(side, original)
        top, left, size = self.window
        if mirrored:
            left = side - left - size
        scale = side / size
        # A base model has met no crop that begins outside its picture.
        return Geometry(original, original, top * scale, max(left, 0) * scale, side, side)


class TrainingPictures(NamedTuple):
    """Everything that samples are drawn from."""

    scene: Pair
    """The whole scene; with cut-outs the first of them."""
    others: tuple[Pair, ...] = ()
    """Crops, or further cut-outs."""
    composed: tuple[Pair, ...] = ()
    """The scene's things at new places."""
    erased: Mapping[frozenset[int], Pair] = MappingProxyType({})
    """For sets of concepts: the scene without the others."""


def stream(seed: int, name: str) -> torch.Generator:
    """An own generator for each use of randomness, so that one never shifts another."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def cropped_pictures(
    image: np.ndarray,
    masks: np.ndarray,
    count: int,
    min_side: float,
    generator: torch.Generator,
    *,
    beyond: float = 0.0,
    erase_up_to: int = 0,
    union: bool = True,
) -> Iterator[Picture]:
    """Random square crops, resized back, that each hold at least one concept entirely.

    With `erase_up_to` each is for one sampled subset of the concepts in it; one of at most so many
    is shown alone, the others painted over.

    With `beyond` they reach over the picture's left and right by up to that share of its side;
    there its ground goes on as its mirror image, without things. Each is then made around a
    sampled subset in place of one concept, for hardly any would hold several; a background counts
    as held by each.
    """
    side = image.shape[0]
    reach = round(beyond * side)
    boxes = [box_of(mask) for mask in masks]
    # What the picture's edge cuts off is not shown away from an edge: its cut is no outline.
    edged = [cut_off(mask)[0] for mask in masks]
    things = movable(masks)
    # Around a background there is nothing to crop.
    anchors = things or tuple(range(len(masks)))
    ground = painted_over(image, joined(masks[list(things)])) if reach else image
    for _ in range(count):
        if reach:
            held = sample_subset(range(len(masks)), generator, union=union)
            around = tuple(index for index in held if index in things)
        else:
            held = around = ()
        around = around or (anchors[randint(len(anchors), generator)],)
        allowed = 0 if any(edged[index] for index in around) else reach
        window = _window(_hull([boxes[i] for i in around]), side, min_side, allowed, generator)
        over = window.left < 0 or window.left + window.size > side
        inside = tuple(
            index
            for index, box in enumerate(boxes)
            if (reach and index not in things)
            or (_holds(window, box) and not (over and edged[index]))
        )
        source = image
        if erase_up_to:
            inside = held if reach else sample_subset(inside, generator, union=union)
            if len(inside) <= erase_up_to:
                source = without_others(image, masks, inside)
        scaling = cv2.INTER_AREA if window.size > side else cv2.INTER_CUBIC
        crop = cv2.resize(_seen(source, ground, window, reach), (side, side), interpolation=scaling)
        nothing = np.zeros((side, side), np.uint8)
        small = [
            cv2.resize(_seen(mask.astype(np.uint8), nothing, window, reach), (side, side),
                       interpolation=cv2.INTER_NEAREST)
            for mask in masks
        ]  # fmt: skip
        yield Picture(
            crop,
            np.stack(small).astype(bool),
            inside,
            exact=erase_up_to > 0,
            whole=False,
            window=window,
        )


def _hull(boxes: Sequence[Box]) -> Box:
    """The box around boxes."""
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _window(
    held: Box, side: int, min_side: float, reach: int, generator: torch.Generator
) -> Window:
    """A random square around a box, at most `reach` pixels over the picture's left or right."""
    need = max(held[2] - held[0], held[3] - held[1])
    low = min(side, max(need, int(side * min_side)))
    size = low + randint(side - low + 1, generator)
    top = _offset(held[0], held[2], size, side, generator)
    left = _offset(held[1] + reach, held[3] + reach, size, side + 2 * reach, generator) - reach
    return Window(top, left, size)


def _holds(window: Window, box: Box) -> bool:
    top, left, bottom, right = box
    across = left >= window.left and right <= window.left + window.size
    return across and top >= window.top and bottom <= window.top + window.size


def _seen(picture: np.ndarray, around: np.ndarray, window: Window, reach: int) -> np.ndarray:
    """What of a picture the window shows; beside it is the mirror image of `around`."""
    if reach:
        wide = cv2.copyMakeBorder(around, 0, 0, reach, reach, cv2.BORDER_REFLECT_101)
        wide[:, reach : reach + picture.shape[1]] = picture
        picture = wide
    top, left = window.top, window.left + reach
    return picture[top : top + window.size, left : left + window.size]


def cutout_pictures(
    image: np.ndarray, masks: np.ndarray, count: int, *, union: bool, generator: torch.Generator
) -> Iterator[Picture]:
    """Random subsets of the concepts on plain backgrounds (paper, section 4.1: baselines)."""
    for _ in range(count):
        subset = sample_subset(range(len(masks)), generator, union=union)
        colour = torch.randint(0, 256, (3,), generator=generator).numpy().astype(np.uint8)
        seen = np.logical_or.reduce(masks[list(subset)])
        yield Picture(np.where(seen[:, :, None], image, colour), masks, subset, exact=True)


def erased_pictures(
    image: np.ndarray, masks: np.ndarray, up_to: int, *, union: bool
) -> Iterator[Picture]:
    """The scene without the others, for the sets of at most `up_to` concepts that samples may show;
    the smallest sets first, as many as ERASED."""
    most = up_to if union else min(up_to, 1)
    sizes = range(1, min(most + 1, len(masks)))
    subsets = chain.from_iterable(combinations(range(len(masks)), size) for size in sizes)
    for subset in islice(subsets, ERASED):
        yield Picture(without_others(image, masks, subset), masks, subset)


def encode_picture(
    family: Family,
    picture: Picture,
    grid: int,
    *,
    mirror: bool = True,
    original: int = 0,
    latent_mask: GridRule = "nearest",
) -> Pair:
    """Encode a picture and, with `mirror`, its mirror image.

    `original`: side of the scene in pixels before it was scaled to the training size (0: the same).
    """
    variants: list[Variant] = []
    for mirrored in (False, True) if mirror else (False,):
        image = picture.image[:, ::-1] if mirrored else picture.image
        masks = picture.masks[:, :, ::-1] if mirrored else picture.masks
        posterior = family.codec.encode(image[None])
        latent_masks_NHW = torch.from_numpy(
            mask_grid(masks, posterior.mean.shape[-1], rule=latent_mask)
        )
        grid_masks_NQ = torch.from_numpy(mask_grid(masks, grid)).flatten(1)
        variants.append(
            Variant(
                posterior.mean[0].cpu(), posterior.std[0].cpu(), latent_masks_NHW, grid_masks_NQ,
                picture.concepts, picture.exact, picture.whole, mirrored,
                picture.geometry(original, mirrored=mirrored), picture.ground,
            )
        )  # fmt: skip
    return Pair(*variants)


def draw_variant(
    pictures: TrainingPictures,
    generator: torch.Generator,
    *,
    crop: float,
    flip: float,
    compose: float = 0.0,
) -> Variant:
    """One training picture.

    `compose` is the probability of a composed one, `crop` that of one of the `others` among the
    rest, `flip` that of the mirror image, 0 where there is none.
    """
    # Not drawn at all where nothing is composed, so that other recipes keep their streams.
    if compose > 0 and pictures.composed and chance(compose, generator):
        pair = pictures.composed[randint(len(pictures.composed), generator)]
    elif chance(crop, generator) and pictures.others:
        pair = pictures.others[randint(len(pictures.others), generator)]
    else:
        pair = pictures.scene
    return side_of(pair, mirrored=chance(flip, generator))


def cutout_share(pictures: TrainingPictures) -> float:
    """Probability of one of the `others` with which all cut-outs are drawn alike."""
    return 1 - 1 / (1 + len(pictures.others))


def side_of(pair: Pair, *, mirrored: bool) -> Variant:
    """The picture or its mirror image."""
    if not mirrored:
        return pair.plain
    assert pair.mirrored is not None
    return pair.mirrored


def _offset(low: int, high: int, size: int, side: int, generator: torch.Generator) -> int:
    """Start of a window of `size` within `side` that holds [low, high)."""
    first, last = max(0, high - size), min(low, side - size)
    return first + randint(last - first + 1, generator)
