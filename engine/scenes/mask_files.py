"""Reads masks from files: a folder, several files, or one label map.

Shapes: HxW at the image's size; true where the concept is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

from engine.core.errors import UserError
from engine.scenes.checks import BoolMask, SceneConcept
from engine.scenes.image_files import SUFFIXES, display_transpose, open_picture

MAX_LABELS = 32
"""More values than this in one file are no label map."""

MIDTONE_SHARE = 0.5
"""A file with more pixels than this that are neither dark nor bright is a photo, not a mask."""

NAME_LENGTH = 40
_DEFAULT_NAME = re.compile(r"((mask|asset|label|concept|object|segment)s?)?_*\d*")


def load_masks(
    paths: Sequence[Path],
    size: tuple[int, int],
    *,
    transpose: Image.Transpose | None = None,
    exclude: Path | None = None,
) -> list[SceneConcept]:
    """The concepts of a folder, of several files, or of one label map (one concept per value).

    `size` is the image's (width, height) in pixels as displayed. Masks drawn on the image as it is
    stored are turned by `transpose` along with it. `exclude` is left out of folders (the image).
    Raises UserError for anything that is no mask of that size, and for two masks of one name.
    """
    files = mask_paths(paths, exclude=exclude)
    pictures = [_open_mask(path, size, transpose) for path in files]
    if len(files) == 1:
        labels = _label_masks(pictures[0], files[0])
        if len(labels) > 1:
            return [SceneConcept(f"asset{k}", mask) for k, mask in enumerate(labels)]
    masks = [_single_mask(picture, path) for picture, path in zip(pictures, files, strict=True)]
    names = [concept_name(path.stem, k) for k, path in enumerate(files)]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise UserError(
                f"the masks {files[names.index(name)].name} and {files[k].name} are both "
                f"named {name!r}",
                "rename one of the files",
            )
    return [SceneConcept(name, mask) for name, mask in zip(names, masks, strict=True)]


def load_region(
    path: Path, size: tuple[int, int], *, transpose: Image.Transpose | None = None
) -> BoolMask:
    """Everything that a mask file marks as one mask, as `load_masks` reads it; raises UserError."""
    marked = [mask for _, mask in load_masks([path], size, transpose=transpose)]
    region = np.logical_or.reduce(marked)
    if not region.any():
        raise UserError(f"the mask {path} is empty", "paint the region white on black")
    return region


def mask_paths(paths: Sequence[Path], *, exclude: Path | None = None) -> list[Path]:
    """The mask files that the given files and folders stand for; folders in natural order."""
    files: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        if not path.is_dir():
            files.append(path)
            continue
        found = [file for file in picture_files(path) if not _same(file, exclude)]
        if not found:
            raise UserError(
                f"the folder {path} holds no masks", "put one PNG per thing into it, in white"
            )
        files += found
    if not files:
        raise UserError("there is no mask", "give one mask per thing with --masks, in white")
    return files


def picture_files(folder: Path) -> list[Path]:
    """The PNG, JPEG and WebP files of a folder in natural order, hidden ones left out."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: _natural_key(path.name))
    except OSError as error:
        raise UserError(
            f"cannot read the folder {folder}: {error.strerror}", "check the path"
        ) from error
    return [
        path
        for path in entries
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def concept_name(stem: str, position: int) -> str:
    """A file's stem as a concept name of [a-z0-9_]; `mask3` and the like become `asset<position>`.

    Default names follow the position, so that they are always the token's own name.
    """
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:NAME_LENGTH].strip("_")
    return f"asset{position}" if _DEFAULT_NAME.fullmatch(slug) else slug


def _open_mask(path: Path, size: tuple[int, int], transpose: Image.Transpose | None) -> Image.Image:
    picture = open_picture(path, "mask")
    own = display_transpose(picture)
    if own is not None:
        picture = picture.transpose(own)
    if picture.size != size and transpose is not None and own is None:
        turned = picture.transpose(transpose)
        picture = turned if turned.size == size else picture
    if picture.size != size:
        raise UserError(
            f"the mask {path} is {picture.width}x{picture.height}, the image {size[0]}x{size[1]}",
            "draw the mask on the image at its full size",
        )
    return picture


def _single_mask(picture: Image.Image, path: Path) -> BoolMask:
    """One mask from a file of any mode: alpha where it varies, else brightness."""
    alpha = _varying_alpha(picture)
    if alpha is not None:
        return alpha > 127
    values = _values(picture)
    if values.ndim == 3:
        values = values.max(axis=2)
    elif picture.mode == "P" and not _grey_palette(picture):
        return values != 0
    top = int(values.max(initial=0))
    if top == 0:
        return np.zeros(values.shape, bool)
    # Files of 0 and 1 are as common as files of 0 and 255.
    full = np.iinfo(values.dtype).max if top > np.iinfo(values.dtype).max // 2 else top
    levels = values.astype(np.float32) / full
    if float(((levels > 0.15) & (levels < 0.85)).mean()) > MIDTONE_SHARE:
        raise UserError(
            f"the mask {path} looks like a photo: most of it is neither dark nor bright",
            "paint the thing white on black",
        )
    return levels > 0.5


def _label_masks(picture: Image.Image, path: Path) -> list[BoolMask]:
    """One mask per value of a label map, by rising value; empty or one: the file is no label map.

    Values that nowhere fill 3x3 pixels are the soft edges between labels, and background.
    """
    if picture.mode == "1":
        return []
    if picture.mode == "P" and not _grey_palette(picture):
        indices = np.asarray(picture)
        found = [int(value) for value in _distinct(indices) if value]
        if len(found) > MAX_LABELS:
            raise UserError(
                f"the mask {path} has {len(found)} values; a label map has one per thing",
                "save one value per thing, or one mask file per thing",
            )
        return [indices == value for value in found]
    values = _values(picture)
    if values.ndim == 3:
        values = np.asarray(picture.convert("RGBA")).view("<u4")[..., 0] & 0xFFFFFF
        alpha = _varying_alpha(picture)
        if alpha is not None:
            values[alpha <= 127] = 0
    if len(_distinct(values)) > MAX_LABELS:
        return []
    return [values == value for value in _distinct(values[_flat(values)]) if value]


def _distinct(values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The values that occur, rising. A table of 24-bit values is far quicker than a sort."""
    seen = np.zeros(int(values.max(initial=0)) + 1, bool)
    seen[values] = True
    return np.flatnonzero(seen)


def _flat(values: npt.NDArray[Any]) -> BoolMask:
    """Pixels that equal all their eight neighbours (the border counts as equal)."""
    row = np.ones(values.shape, bool)
    beside = values[:, 1:] == values[:, :-1]
    row[:, 1:] &= beside
    row[:, :-1] &= beside
    below = values[1:] == values[:-1]
    flat = row.copy()
    flat[1:] &= below & row[:-1]
    flat[:-1] &= below & row[1:]
    return flat


def _values(picture: Image.Image) -> npt.NDArray[Any]:
    """HxW for grey and indexed pictures (16-bit ones uncut), HxWx3 for colour ones.

    Grey palettes and grey pictures stored in colour come out as HxW.
    """
    if picture.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode == "L":
        return np.asarray(picture)
    if picture.mode == "P" and not _grey_palette(picture):
        return np.asarray(picture)
    if picture.mode in ("LA", "La"):
        return np.asarray(picture.convert("LA"))[..., 0]
    colours = picture.convert("RGBA" if picture.has_transparency_data else "RGB").convert("RGB")
    red, green, blue = colours.split()
    if any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
        return np.asarray(colours)
    return np.asarray(red)


def _grey_palette(picture: Image.Image) -> bool:
    palette = np.asarray(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = [index for index in _distinct(np.asarray(picture)) if index < len(palette)]
    return bool((palette[used] == palette[used][:, :1]).all())


def _varying_alpha(picture: Image.Image) -> npt.NDArray[np.uint8] | None:
    """The alpha channel as HxW, None where there is none or it is the same everywhere."""
    if not picture.has_transparency_data:
        return None
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    return alpha if alpha.min() != alpha.max() else None


def _natural_key(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and path.samefile(other)
