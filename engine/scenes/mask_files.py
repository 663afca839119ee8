"""The masks of a photo, from whatever files a person has: which files, whose names, what size.

Shapes: HxW at the photo's size as it is displayed; true where the concept is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from engine.core.errors import UserError
from engine.scenes.annotation_files import is_labelme, read_annotation
from engine.scenes.array_files import read_array_masks
from engine.scenes.checks import BACKGROUND_NAMES, BoolMask, SceneConcept, looks_inverted
from engine.scenes.findings import Finding
from engine.scenes.image_files import SUFFIXES, Photo, Pixels, display_transpose, open_picture
from engine.scenes.mask_names import concept_names
from engine.scenes.mask_ops import resized
from engine.scenes.mask_pictures import LEAST_OPACITY, opaque_part, read_mask_picture

MAX_MASKS = 16
"""More masks than this were not made to be learned together."""
SAM_HEADER = "id,area,bbox_x0"
"""How metadata.csv begins in a folder that SAM's script for `everything` wrote."""
ONETRAINER = "-masklabel"
"""OneTrainer keeps the mask of photo.jpg in photo-masklabel.png beside it."""
CLEARER = 1.3
"""One way round is believed where outlines lie on edges this much more than the other way."""


class InvertedMasksError(UserError):
    """Masks of which a person must say whether their white or their black is the thing."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            "say --masks-inverted if the thing is black (transparent), --masks-as-drawn if white",
        )


class LoadedMasks(NamedTuple):
    """Concepts, and what to say about how they were read."""

    concepts: list[SceneConcept]
    notes: list[str]
    findings: list[Finding]


@dataclass(frozen=True, kw_only=True)
class _File:
    """What one file holds, at its own size."""

    path: Path
    labels: list[str]
    masks: list[BoolMask]
    notes: list[str]
    findings: tuple[Finding, ...] = ()
    doubt: str = ""
    oriented: bool = False
    """The file says itself which way is up, or never lay otherwise."""


def load_masks(
    paths: Sequence[Path], photo: Photo, photo_path: Path, *, inverted: bool | None = None
) -> LoadedMasks:
    """The concepts of files and folders: one mask per file, or one label map, annotation, array.

    A mask of another size but the same shape is scaled; one that was drawn on the photo as it is
    stored is turned along with it. `inverted`: whether the black part of every mask is the thing;
    None raises InvertedMasksError where that looks so. Raises UserError for anything that is no
    mask of that photo.
    """
    files = mask_paths(paths, exclude=photo_path)
    read = [_read(path, photo, photo_path, alone=len(files) == 1) for path in files]
    labels = [label for file in read for label in file.labels]
    if len(labels) > MAX_MASKS:
        raise UserError(
            f"there are {len(labels)} masks; the method learns a handful of things at once",
            "name the files of those you want, each with --masks",
        )
    names, said = concept_names(labels)
    notes = [*(note for file in read for note in file.notes), *said]
    findings = [finding for file in read for finding in file.findings]
    turned, warned = _turned(read, photo)
    findings += warned
    masks: list[BoolMask] = []
    for file, turn in zip(read, turned, strict=True):
        for mask in file.masks:
            masks.append(_fitted(mask, file.path, photo, turn, notes))
    concepts = [SceneConcept(name, mask) for name, mask in zip(names, masks, strict=True)]
    concepts = _right_way_round(concepts, read, inverted)
    return LoadedMasks(concepts, list(dict.fromkeys(notes)), findings)


def _read(path: Path, photo: Photo, photo_path: Path, *, alone: bool) -> _File:
    """One file; among others it must hold one thing, unless it names its things itself."""
    suffix = path.suffix.lower()
    if suffix == ".json" and path.is_file():
        labels, masks, notes = read_annotation(path, photo_path.name)
        return _File(path=path, labels=labels, masks=masks, notes=notes)
    label = path.stem.removesuffix(ONETRAINER)
    if suffix == ".npy" and path.is_file():
        masks = read_array_masks(path)
        labels = [label] if len(masks) == 1 else [""] * len(masks)
        return _File(path=path, labels=labels, masks=masks, notes=[])
    if _same(path, photo_path):
        return _own_alpha(photo, path)
    picture, findings = open_picture(path, "mask")
    if getattr(picture, "n_frames", 1) > 1 and picture.format in ("TIFF", "WEBP"):
        raise UserError(f"the mask {path} has several pages", "save one file per thing")
    turn = display_transpose(picture)
    masks, notes, doubt = read_mask_picture(picture, path)
    masks = [_transposed(mask, turn) for mask in masks]
    if not masks:
        masks = [np.zeros((picture.height, picture.width), np.bool_)]
    if len(masks) > 1 and not alone:
        raise UserError(
            f"the mask {path} holds {len(masks)} areas; among other files it must be one thing",
            "give a label map alone, or save one file per thing",
        )
    return _File(
        path=path,
        labels=[label] if len(masks) == 1 else [""] * len(masks),
        masks=list(masks),
        notes=list(notes),
        findings=findings,
        doubt=doubt,
        oriented=turn is not None,
    )


def _own_alpha(photo: Photo, path: Path) -> _File:
    """The photo's own transparency: what is opaque is the thing."""
    alpha = photo.alpha
    if alpha is None or int(alpha.max()) - int(alpha.min()) < LEAST_OPACITY:
        raise UserError(f"{path} is the photo itself", "name the file of the mask")
    note = f"the mask is {path.name}'s own transparency: what is opaque is the thing"
    mask = opaque_part(alpha)
    return _File(path=path, labels=[""], masks=[mask], notes=[note], oriented=True)


def _right_way_round(
    concepts: list[SceneConcept], files: Sequence[_File], inverted: bool | None
) -> list[SceneConcept]:
    """The concepts, inverted where asked for; raises InvertedMasksError where nobody said."""
    if inverted:
        if any(len(file.masks) > 1 for file in files):
            raise UserError(
                "the things of a label map cannot be inverted", "give one mask file per thing"
            )
        concepts = [SceneConcept(name, ~mask) for name, mask in concepts]
    suspects = [
        name for name, mask in concepts if name not in BACKGROUND_NAMES and looks_inverted(mask)
    ]
    doubts = [file.doubt for file in files if file.doubt]
    if inverted and suspects:
        raise UserError(
            f"once inverted, the mask {suspects[0]!r} covers nearly all of the picture's border",
            "invert only the files that need it, in a picture editor or with bas open",
        )
    if inverted is None and (suspects or doubts):
        if not suspects:
            raise InvertedMasksError(doubts[0])
        share = next(float(mask.mean()) for name, mask in concepts if name == suspects[0])
        more = f" (and {len(suspects) - 1} more)" if len(suspects) > 1 else ""
        raise InvertedMasksError(
            f"the mask {suspects[0]!r}{more} looks inverted: it covers {share:.0%} and nearly all "
            "of the border"
        )
    return concepts


def _turned(files: Sequence[_File], photo: Photo) -> tuple[list[bool], list[Finding]]:
    """Which files were drawn on the photo as it is stored, and must be turned along with it."""
    if photo.transpose is None:
        return [False] * len(files), []
    height, width = photo.pixels.shape[:2]
    stored = _transposed(np.empty((height, width, 0)), _BACK[photo.transpose]).shape[1::-1]
    either: list[int] = []
    turned: list[bool] = []
    for k, file in enumerate(files):
        size = file.masks[0].shape[1::-1]
        shown = _same_shape(size, (width, height))
        turned.append(not file.oriented and not shown and _same_shape(size, stored))
        if shown and _same_shape(size, stored) and not file.oriented:
            either.append(k)
    if not either:
        return turned, []
    masks = [mask for k in either for mask in files[k].masks]
    as_shown = sum(_on_edges(mask, photo.pixels) for mask in masks)
    as_stored = sum(_on_edges(_transposed(mask, photo.transpose), photo.pixels) for mask in masks)
    along = as_stored > CLEARER * as_shown
    for k in either:
        turned[k] = along
    how = "they are turned along with it" if along else "they are taken as it is shown"
    sure = along or as_shown > CLEARER * as_stored
    why = ", because their outlines lie on its edges so" if sure else "; nothing tells which"
    message = f"the photo is turned by its EXIF orientation and its masks fit both ways: {how}{why}"
    remedy = "look at them with bas open; saving the photo upright, without EXIF, settles it"
    return turned, [Finding("warning", message, remedy)]


_BACK = {
    **{turn: turn for turn in Image.Transpose},
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


def _transposed(values: np.ndarray, turn: Image.Transpose | None) -> np.ndarray:
    """An array turned as Pillow turns a picture; rows and columns come first."""
    match turn:
        case None:
            return values
        case Image.Transpose.FLIP_LEFT_RIGHT:
            return values[:, ::-1]
        case Image.Transpose.FLIP_TOP_BOTTOM:
            return values[::-1]
        case Image.Transpose.ROTATE_90:
            return np.rot90(values)
        case Image.Transpose.ROTATE_180:
            return values[::-1, ::-1]
        case Image.Transpose.ROTATE_270:
            return np.rot90(values, -1)
        case Image.Transpose.TRANSPOSE:
            return np.swapaxes(values, 0, 1)
        case Image.Transpose.TRANSVERSE:
            return np.swapaxes(values[::-1, ::-1], 0, 1)


def _on_edges(mask: BoolMask, pixels: Pixels) -> float:
    """How strong the photo's edges are along the mask's outline, against its average edge."""
    scale = min(1.0, 512 / max(pixels.shape[:2]))
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    grey = cv2.cvtColor(
        cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    ).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    small = cv2.resize(np.ascontiguousarray(mask).astype(np.uint8), size)
    kernel = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(small, kernel) != cv2.erode(small, kernel)
    if not outline.any():
        return 0.0
    return float(slope[outline].mean() / max(1e-6, float(slope.mean())))


def _fitted(mask: BoolMask, path: Path, photo: Photo, turn: bool, notes: list[str]) -> BoolMask:
    """The mask at the photo's size."""
    mask = np.ascontiguousarray(_transposed(mask, photo.transpose) if turn else mask)
    height, width = photo.pixels.shape[:2]
    if mask.shape == (height, width):
        return mask
    size = mask.shape[1], mask.shape[0]
    if not _same_shape(size, (width, height)):
        raise UserError(
            f"the mask {path} is {size[0]}x{size[1]}, the image {width}x{height}",
            "draw the mask on the image at its full size",
        )
    notes.append(f"{path.name}: scaled from {size[0]}x{size[1]} to {width}x{height}")
    return resized(mask, (width, height))


def _same_shape(size: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether one is the other scaled, but for the rounding of its sides."""
    scale = other[0] / size[0]
    return abs(size[1] * scale - other[1]) <= max(1.0, scale)


def load_region(path: Path, photo: Photo, photo_path: Path, box: Sequence[float] = ()) -> BoolMask:
    """Everything that a mask file marks as one mask, as `load_masks` reads it; raises UserError.

    Or, in place of a file, a `box`: left, top, right and bottom as shares of the photo's sides.
    """
    if box:
        height, width = photo.pixels.shape[:2]
        left, top, right, bottom = box
        boxed = np.zeros((height, width), bool)
        # At least a pixel: a thin box is no empty one.
        rows = int(top * height), max(int(top * height) + 1, round(bottom * height))
        columns = int(left * width), max(int(left * width) + 1, round(right * width))
        boxed[slice(*rows), slice(*columns)] = True
        return boxed
    # A region may be most of a picture.
    loaded = load_masks([path], photo, photo_path, inverted=False)
    region = np.logical_or.reduce([concept.mask for concept in loaded.concepts])
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
        found = [file for file in mask_files(path) if not _same(file, exclude)]
        if is_everything(path):
            raise UserError(
                f"the folder {path} holds {len(found)} masks of SAM's `everything`: things, parts "
                "and background",
                "name the files of those you want, each with --masks",
            )
        if not found:
            raise UserError(
                f"the folder {path} holds no masks", "put one PNG per thing into it, in white"
            )
        files += found
    if not files:
        raise UserError("there is no mask", "give one mask per thing with --masks, in white")
    return files


def is_everything(folder: Path) -> bool:
    """Whether SAM's script wrote all that it found in a photo into that folder."""
    try:
        with (folder / "metadata.csv").open(encoding="utf-8") as file:
            return file.readline().startswith(SAM_HEADER)
    except (OSError, UnicodeDecodeError):
        return False


def find_masks(image: Path) -> list[Path]:
    """Masks beside an image: <image>_masks/, masks/, mask*.png, or what a tool left there.

    Raises UserError where there are none.
    """
    parent, stem = image.parent, image.stem
    for folder in (parent / f"{stem}_masks", parent / "masks" / stem, parent / "masks"):
        found = mask_files(folder) if folder.is_dir() else []
        if own := [file for file in found if file.stem in (stem, stem + ONETRAINER)]:
            return own
        if found:
            return [folder]
    if own := [file for file in picture_files(parent) if file.stem == stem + ONETRAINER]:
        return own
    annotation = image.with_suffix(".json")
    if annotation.is_file() and is_labelme(annotation):
        return [annotation]
    files = [
        file
        for file in picture_files(parent)
        if file.stem.lower().startswith("mask") and file != image
    ]
    if not files:
        raise UserError(
            f"there is no mask for {image}",
            f"make them by boxes: bas open {image}, or by clicks: bas masks; or give "
            "one per thing with --masks, in white",
        )
    return files


def mask_files(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; without one its arrays, then its annotations."""
    return picture_files(folder) or _files(folder, (".npy",)) or _files(folder, (".json",))


def picture_files(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order, hidden ones left out."""
    return _files(folder, SUFFIXES)


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda path: _natural_key(path.name))
    except OSError as error:
        raise UserError(
            f"cannot read the folder {folder}: {error.strerror}", "check the path"
        ) from error
    return [
        path
        for path in entries
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]


def _natural_key(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and path.exists() and path.samefile(other)
