"""Which pixels of a mask picture are the thing, whatever program drew it.

What is transparent counts first, then colours: black is the background, every other colour a thing.

Shapes: HxW at the picture's own size, true where a thing is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from engine.core.errors import UserError
from engine.scenes.checks import BoolMask
from engine.scenes.label_areas import Areas, Colour, Unclear, find_areas, say_colour

PHOTO_COLOURS = 256
"""A part of a picture with more colours than this was photographed, not painted."""
MIDTONE_SHARE = 0.5
"""A grey picture with more pixels than this that are neither dark nor bright is no mask."""
PIECES = 60
"""One thing falls into no more pieces than this; a photo cut at half its brightness does."""
LEAST_OPACITY = 16
"""Differences of the alpha channel below this (of 255) mean nothing."""
VOID = (224, 224, 192)
"""The colour of Pascal VOC's border between a thing and the rest (index 255)."""
BORDER = 0.6
"""A colour that fills more than this share of the picture's border is its background."""
COMFYUI = re.compile(r"clipspace-(painted-)?mask(ed)?-")
"""Mask files of ComfyUI's mask editor: what was painted is transparent."""
LOSSY = ("JPEG", "MPO", "WEBP")

PAINT = "paint the thing white on black"


class Reading(NamedTuple):
    """The masks of one picture."""

    masks: tuple[BoolMask, ...]
    """One for each thing, by rising colour."""
    notes: tuple[str, ...] = ()
    doubt: str = ""
    """Why nobody can say which side of the mask is the thing; empty: it is clear."""


def read_mask_picture(picture: Image.Image, path: Path) -> Reading:
    """The things of a mask or label map in any mode; raises UserError where that is no mask."""
    alpha = varying_alpha(picture)
    if alpha is not None:
        return _transparent(picture, alpha, path)
    values = _values(picture)
    top = int(values.max(initial=0))
    if values.ndim == 2 and picture.format in LOSSY and 0 < top < 64:
        raise UserError(
            f"the mask {path} was saved with loss, and its values lie too close for that "
            f"(0 to {top})",
            "save it as PNG",
        )
    return _drawn(values, path)


def varying_alpha(picture: Image.Image) -> npt.NDArray[np.uint8] | None:
    """The alpha channel as HxW; None where there is none or it is the same everywhere."""
    if not picture.has_transparency_data:
        return None
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return alpha if int(alpha.max()) - int(alpha.min()) >= LEAST_OPACITY else None


def opaque_part(alpha: npt.NDArray[np.uint8]) -> BoolMask:
    """What is painted on a layer, however thin: cut halfway from its faintest paint to nothing."""
    low, high = int(alpha.min()), int(alpha.max())
    cut = (low + high) / 2
    try:
        areas = find_areas(alpha)
    except Unclear:
        areas = None
    if areas is not None and len(areas.colours) > 1:
        first, second = (colour[0] for colour in areas.colours[:2])
        cut = (first + second) / 2
    return alpha > cut


def _transparent(picture: Image.Image, alpha: npt.NDArray[np.uint8], path: Path) -> Reading:
    """A picture with a transparent part."""
    shown = opaque_part(alpha)
    if COMFYUI.match(path.stem):
        note = f"{path.name}: painted is what is transparent, as ComfyUI's mask editor saves it"
        return Reading((~shown,), (note,))
    colours = np.array(picture.convert("RGBA").convert("RGB"))
    if _photographed(colours[shown]):
        doubt = ""
        if _photographed(colours[~shown]):
            doubt = f"the mask {path} has a photo's colours in its transparent part too"
        return Reading((shown,), doubt=doubt)
    inside = colours[shown]
    if (inside == inside[0]).all():
        return Reading((shown,))
    # The transparent part becomes an area of a colour that no paint is near.
    unused = _unlike(inside)
    colours[~shown] = unused
    areas = _areas(colours, path)
    if areas is None:
        return Reading((shown,))
    things = [k for k, colour in enumerate(areas.colours) if _far(colour, unused) > 40]
    if len(things) > 1 and any(max(areas.colours[k]) <= 20 for k in things):
        raise UserError(
            f"the mask {path} has black paint beside other colours, and a transparent part",
            "make the background either black or transparent, or save one file per thing",
        )
    return Reading(tuple((areas.labels_HW == k) & shown for k in things))


def _drawn(values: npt.NDArray[Any], path: Path) -> Reading:
    """A picture without transparency: (H, W) numbers or (H, W, 3) colours."""
    if not values.any():
        return Reading((np.zeros(values.shape[:2], np.bool_),))
    areas = _areas(values, path)
    if areas is None:
        return Reading((_soft_mask(values, path),))
    if len(areas.colours) == 1:
        return Reading((np.ones(values.shape[:2], np.bool_),))
    ground, notes = _background(areas, path)
    labels = areas.labels_HW
    things = [k for k in range(len(areas.colours)) if k != ground]
    for k in list(things):
        if len(things) > 1 and _outlines(labels, k, [other for other in things if other != k]):
            things.remove(k)
            notes += (_say_void(areas.colours, k, path),)
            labels = _closed(labels, k)
    return Reading(tuple(labels == k for k in things), notes)


def _areas(values: npt.NDArray[Any], path: Path) -> Areas | None:
    try:
        return find_areas(values)
    except Unclear as problem:
        raise UserError(
            f"the mask {path} cannot be read for sure: {problem}",
            "save it as PNG with hard edges, or one mask file per thing",
        ) from problem


def _background(areas: Areas, path: Path) -> tuple[int, tuple[str, ...]]:
    """The area that is no thing, and what to say about it."""
    labels = areas.labels_HW
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    shares = np.bincount(border, minlength=len(areas.colours)) / len(border)
    widest = int(shares.argmax())
    dark = 0 if areas.exact else 20
    blacks = [k for k, colour in enumerate(areas.colours) if max(colour) <= dark]
    if blacks:
        framed = shares[widest] > 0.9 and shares[blacks[0]] < 0.05
        if framed and len(areas.colours) > 2:
            raise UserError(
                f"the mask {path} has {say_colour(areas.colours[widest])} all around and black "
                "within: which of them is the background cannot be said",
                "make the background black, or save one mask file per thing",
            )
        return blacks[0], ()
    if len(areas.colours) == 2 and all(len(set(colour)) == 1 for colour in areas.colours):
        return 0, ()
    if shares[widest] <= BORDER:
        raise UserError(
            f"the mask {path} has no black, and no colour fills its border: which is the "
            "background cannot be said",
            "make the background black, or save one mask file per thing",
        )
    colour = say_colour(areas.colours[widest])
    return widest, (f"{path.name}: {colour}, the colour of its border, is the background",)


def _outlines(labels: npt.NDArray[np.int16], k: int, others: list[int]) -> bool:
    """Whether an area is but a line between other things and what surrounds them."""
    own = (labels == k).astype(np.uint8)
    deep = cv2.erode(own, np.ones((9, 9), np.uint8))
    if deep.sum() > 0.05 * own.sum():
        return False
    near = np.ones((15, 15), np.uint8)
    beside = cv2.dilate(np.isin(labels, others).astype(np.uint8), near).astype(bool)
    return float(beside[own.astype(bool)].mean()) > 0.9


def _say_void(colours: tuple[Colour, ...], k: int, path: Path) -> str:
    """The note of a void border; raises UserError for outlines that may be meant."""
    colour = colours[k]
    if colour in (VOID, (255,), (255, 255, 255)):
        return f"{path.name}: {say_colour(colour)} is the border between things, not one of them"
    raise UserError(
        f"the mask {path} has the colour {say_colour(colour)} only as outlines of the others",
        "erase the outlines; if it is a thing, save it as a mask file of its own",
    )


def _closed(labels: npt.NDArray[np.int16], k: int) -> npt.NDArray[np.int16]:
    """The labels with area `k` given to what is nearest."""
    void = labels == k
    _, nearest = cv2.distanceTransformWithLabels(
        void.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest.max()) + 1, labels.dtype)
    table[nearest[~void]] = labels[~void]
    return table[nearest]


def _soft_mask(values: npt.NDArray[Any], path: Path) -> BoolMask:
    """One thing without a flat area, cut at half its brightness."""
    if values.ndim == 3:
        light = values.max(axis=2)
        paint = values[light > 60].astype(np.float32)
        paint /= np.maximum(paint.max(axis=1, keepdims=True), 1)
        if len(paint) and float(np.abs(paint - np.median(paint, axis=0)).max(axis=1).mean()) > 0.1:
            raise UserError(f"the mask {path} looks like a photo: it has many colours", PAINT)
        values = light
    levels = values / max(1, int(values.max()))
    middle = float(((levels > 0.15) & (levels < 0.85)).mean())
    mask = levels > 0.5
    pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    if middle > MIDTONE_SHARE or pieces > PIECES:
        raise UserError(
            f"the mask {path} looks like a photo: most of it is neither dark nor bright"
            if middle > MIDTONE_SHARE
            else f"the mask {path} looks like a photo: it falls into {pieces} pieces",
            PAINT,
        )
    return mask


def _values(picture: Image.Image) -> npt.NDArray[Any]:
    """(H, W) for grey pictures of any depth, (H, W, 3) for coloured ones; palettes by colour."""
    if picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture), posinf=0, neginf=0).clip(0, None)
        return (values * 255).round().astype(np.int64) if values.max() <= 1 else values.astype(int)
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.int64).clip(0, None)
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    # Colours as they are saved, whether or not a constant alpha makes them invisible.
    colours = picture.convert("RGBA" if picture.has_transparency_data else "RGB").convert("RGB")
    red, green, blue = colours.split()
    if any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
        return np.asarray(colours)
    return np.asarray(red)


def _photographed(colours_NC: npt.NDArray[np.uint8]) -> bool:
    """Whether pixels have so many colours that nobody painted them."""
    wide = colours_NC.astype(np.int64)
    codes = wide[:, 0] | wide[:, 1] << 8 | wide[:, 2] << 16
    # Soft edges make many colours of two; a photo has about as many as pixels.
    return len(np.unique(codes)) > max(PHOTO_COLOURS, 0.02 * len(codes))


def _unlike(colours_NC: npt.NDArray[np.uint8]) -> Colour:
    """A corner of the colour cube as far as can be from every colour of the pixels."""
    corners = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    wide = np.unique(colours_NC, axis=0).astype(np.int16)
    return max(corners, key=lambda corner: int(np.abs(wide - corner).max(axis=1).min()))


def _far(one: Colour, other: Colour) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
