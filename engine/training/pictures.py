"""The training pictures, encoded once: the scene, its mirror image, and crops or cut-outs of it.

Shape legend: N concepts, C latent channels, H and W latent size, Q = grid * grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch

from engine.families.contract import Family, Geometry
from engine.method.union_sampling import chance, randint, sample_subset
from engine.scenes.mask_grid import mask_grid


class Variant(NamedTuple):
    """One encoded picture with its masks."""

    mean_CHW: torch.Tensor
    std_CHW: torch.Tensor
    latent_masks_NHW: torch.Tensor
    grid_masks_NQ: torch.Tensor
    concepts: tuple[int, ...]
    """Concepts that may be sampled from it."""
    exact: bool
    """The picture shows these concepts and no others (cut-outs): take them all."""
    whole: bool
    """In the scene's own frame, but for the mirroring; false for crops."""
    mirrored: bool
    geometry: Geometry
    """What part of which picture it shows."""


class Pair(NamedTuple):
    """A picture and its mirror image, encoded separately: a VAE is not flip-equivariant."""

    plain: Variant
    mirrored: Variant | None = None
    """None where no sample is mirrored."""


class Window(NamedTuple):
    """A square part of a picture, in pixels."""

    top: int
    left: int
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

    def geometry(self, original: int, *, mirrored: bool) -> Geometry:
        """What part of which picture it shows; the scene was scaled from `original` pixels."""
        side = self.image.shape[0]
        if self.window is None:
            return Geometry.whole(side, original)
        top, left, size = self.window
        if mirrored:
            left = side - left - size
        scale = side / size
        return Geometry(original, original, top * scale, left * scale, side, side)


def stream(seed: int, name: str) -> torch.Generator:
    """An own generator for each use of randomness, so that one never shifts another."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def cropped_pictures(
    image: np.ndarray, masks: np.ndarray, count: int, min_side: float, generator: torch.Generator
) -> Iterator[Picture]:
    """Random square crops, resized back, that each hold at least one concept entirely."""
    side = image.shape[0]
    boxes = [_box(mask) for mask in masks]
    for _ in range(count):
        anchor = boxes[randint(len(boxes), generator)]
        need = max(anchor[2] - anchor[0], anchor[3] - anchor[1])
        low = min(side, max(need, int(side * min_side)))
        size = low + randint(side - low + 1, generator)
        top = _offset(anchor[0], anchor[2], size, side, generator)
        left = _offset(anchor[1], anchor[3], size, side, generator)
        inside = tuple(
            index
            for index, (y0, x0, y1, x1) in enumerate(boxes)
            if y0 >= top and x0 >= left and y1 <= top + size and x1 <= left + size
        )
        window = (slice(top, top + size), slice(left, left + size))
        scaling = cv2.INTER_AREA if size > side else cv2.INTER_CUBIC
        crop = cv2.resize(image[window], (side, side), interpolation=scaling)
        small = [
            cv2.resize(mask[window].astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)
            for mask in masks
        ]
        yield Picture(
            crop, np.stack(small).astype(bool), inside, whole=False, window=Window(top, left, size)
        )


def cutout_pictures(
    image: np.ndarray, masks: np.ndarray, count: int, *, union: bool, generator: torch.Generator
) -> Iterator[Picture]:
    """Random subsets of the concepts on plain backgrounds (paper, section 4.1: baselines)."""
    for _ in range(count):
        subset = sample_subset(range(len(masks)), generator, union=union)
        colour = torch.randint(0, 256, (3,), generator=generator).numpy().astype(np.uint8)
        seen = np.logical_or.reduce(masks[list(subset)])
        yield Picture(np.where(seen[:, :, None], image, colour), masks, subset, exact=True)


def encode_picture(
    family: Family, picture: Picture, grid: int, *, mirror: bool = True, original: int = 0
) -> Pair:
    """Encode a picture and, with `mirror`, its mirror image.

    `original`: side of the scene in pixels before it was scaled to the training size (0: the same).
    """
    variants: list[Variant] = []
    for mirrored in (False, True) if mirror else (False,):
        image = picture.image[:, ::-1] if mirrored else picture.image
        masks = picture.masks[:, :, ::-1] if mirrored else picture.masks
        pixels_HWC = torch.from_numpy(np.ascontiguousarray(image)).float() / 127.5 - 1
        posterior = family.codec.encode(pixels_HWC.permute(2, 0, 1)[None])
        latent_masks_NHW = torch.from_numpy(mask_grid(masks, posterior.mean.shape[-1]))
        grid_masks_NQ = torch.from_numpy(mask_grid(masks, grid)).flatten(1)
        variants.append(
            Variant(
                posterior.mean[0].cpu(), posterior.std[0].cpu(), latent_masks_NHW, grid_masks_NQ,
                picture.concepts, picture.exact, picture.whole, mirrored,
                picture.geometry(original, mirrored=mirrored),
            )
        )  # fmt: skip
    return Pair(*variants)


def draw_variant(
    pairs: Sequence[Pair], generator: torch.Generator, *, crop: float, flip: float
) -> Variant:
    """One training picture: the whole scene is `pairs[0]`, crops or further cut-outs follow.

    `crop` is the probability of one of `pairs[1:]`, `flip` that of the mirror image, 0 where there
    is none.
    """
    other = chance(crop, generator) and len(pairs) > 1
    index = 1 + randint(len(pairs) - 1, generator) if other else 0
    pair = pairs[index]
    if chance(flip, generator):
        assert pair.mirrored is not None
        return pair.mirrored
    return pair.plain


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(ys[0]), int(xs[0]), int(ys[-1]) + 1, int(xs[-1]) + 1


def _offset(low: int, high: int, size: int, side: int, generator: torch.Generator) -> int:
    """Start of a window of `size` within `side` that holds [low, high)."""
    first, last = max(0, high - size), min(low, side - size)
    return first + randint(last - first + 1, generator)
