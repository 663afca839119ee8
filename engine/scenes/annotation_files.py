"""Reads annotations of one photo: labelme and COCO JSON files, as masks.

Shapes: HxW at the size the file states; true where the thing is.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.core.errors import UserError
from engine.scenes.checks import BoolMask
from engine.scenes.image_files import MAX_PIXELS

MAX_BYTES = 256 << 20
"""A whole COCO data set's annotations fit in; anything larger is no annotation of photos."""
IGNORED = ("_background_", "__ignore__")
"""Labels that labelme's own tools give to no thing."""
MAX_SHAPES = 2000


class Annotation(NamedTuple):
    """The things of one photo."""

    labels: list[str]
    masks: list[BoolMask]
    notes: list[str]


def read_annotation(path: Path, photo: str) -> Annotation:
    """The things that a labelme or COCO file marks on the photo of that file name.

    Raises UserError for other files, for a file about other photos, and for shapes with no area.
    """
    table = _read_json(path)
    try:
        if isinstance(table.get("shapes"), list):
            return _labelme(table, path, photo)
        if isinstance(table.get("annotations"), list):
            return _coco(table, path, photo)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, OSError) as error:
        raise UserError(
            f"the annotations {path} are damaged ({type(error).__name__}: {error})",
            "export them again",
        ) from error
    raise UserError(
        f"{path} is no annotation of labelme or COCO", "export it as one of these, or as PNG masks"
    )


def is_labelme(path: Path) -> bool:
    """Whether a JSON file is one of labelme's; false for whatever cannot be read."""
    try:
        return isinstance(_read_json(path).get("shapes"), list)
    except UserError:
        return False


def rasterise(
    polygons: Sequence[Sequence[float]], width: int, height: int
) -> npt.NDArray[np.bool_]:
    """The mask of COCO polygons (x, y, x, y, ... in pixels), (height, width)."""
    canvas = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], 1)
    return canvas.astype(bool)


def decode_rle(segmentation: Mapping[str, Any]) -> BoolMask:
    """COCO's run-length code: runs of 0 and 1 by columns, as numbers or as its text code.

    Raises ValueError where the runs do not fill the size.
    """
    height, width = _size(*segmentation["size"])
    counts = segmentation["counts"]
    runs = _text_runs(counts) if isinstance(counts, str) else [int(run) for run in counts]
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError("the runs do not fill the picture")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _text_runs(text: str) -> list[int]:
    """Run lengths of COCO's text code: base 32, five bits a character, from the fourth run on as
    the difference to the run two before."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        digit = character - 48
        if not 0 <= digit < 64:
            raise ValueError("no run-length code")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs


def _labelme(table: Mapping[str, Any], path: Path, photo: str) -> Annotation:
    """One thing per label and group."""
    height, width = _size(table["imageHeight"], table["imageWidth"])
    notes = _other_photo(path, str(table.get("imagePath") or photo), photo)
    things: dict[tuple[str, Any], BoolMask] = {}
    counts: dict[tuple[str, Any], int] = {}
    skipped: set[str] = set()
    for shape in table["shapes"][:MAX_SHAPES]:
        label = str(shape["label"])
        if label in IGNORED:
            continue
        kind = shape.get("shape_type") or "polygon"
        draw = _LABELME_SHAPES.get(kind)
        if draw is None:
            skipped.add(f"{label!r} ({kind})")
            continue
        mask = draw(shape, width, height)
        key = label, shape.get("group_id")
        things[key] = things[key] | mask if key in things else mask
        counts[key] = counts.get(key, 0) + 1
    if not things:
        named = ", ".join(sorted(skipped)) or "nothing"
        raise UserError(
            f"the annotations {path} mark no area: {named}", "outline the things as polygons"
        )
    if skipped:
        notes.append(f"left out, because they have no area: {', '.join(sorted(skipped))}")
    for (label, _), count in counts.items():
        if count > 1:
            notes.append(
                f"{count} shapes named {label!r} are one thing; label them apart to learn them so"
            )
    return Annotation([label for label, _ in things], list(things.values()), notes)


def _polygon(shape: Mapping[str, Any], width: int, height: int) -> BoolMask:
    return rasterise([_points(shape, 3).ravel().tolist()], width, height)


def _rectangle(shape: Mapping[str, Any], width: int, height: int) -> BoolMask:
    (x0, y0), (x1, y1) = _points(shape, 2)[:2].round().astype(int).tolist()
    mask = np.zeros((height, width), np.bool_)
    rows, columns = sorted((y0, y1)), sorted((x0, x1))
    mask[slice(max(0, rows[0]), max(0, rows[1])), slice(max(0, columns[0]), max(0, columns[1]))] = (
        True
    )
    return mask


def _circle(shape: Mapping[str, Any], width: int, height: int) -> BoolMask:
    """A centre and a point on the circle."""
    centre, rim = _points(shape, 2)[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= ((rim - centre) ** 2).sum()


def _bitmap(shape: Mapping[str, Any], width: int, height: int) -> BoolMask:
    """A PNG in base64 that lies at the first of two points."""
    (left, top), _ = _points(shape, 2)[:2].round().astype(int).tolist()
    data = base64.b64decode(str(shape["mask"]), validate=True)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        _size(picture.height, picture.width)
        part = np.asarray(picture.convert("L")) > 0
    mask = np.zeros((height, width), np.bool_)
    part = part[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    part = part[: height - top, : width - left]
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


_LABELME_SHAPES: dict[str, Callable[[Mapping[str, Any], int, int], BoolMask]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _bitmap,
}


def _points(shape: Mapping[str, Any], least: int) -> npt.NDArray[np.float64]:
    points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    if len(points) < least or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise ValueError(f"the shape {shape.get('label')!r} has no usable points")
    return points


def _coco(table: Mapping[str, Any], path: Path, photo: str) -> Annotation:
    """One thing per annotation of the photo."""
    images = table.get("images", table.get("image"))
    images = [images] if isinstance(images, dict) else list(images or [])
    notes: list[str] = []
    chosen = [entry for entry in images if _same_photo(str(entry["file_name"]), photo)]
    if len(chosen) != 1:
        if len(images) != 1:
            raise UserError(
                f"the annotations {path} are about {len(images)} photos, {len(chosen)} of them "
                f"named {photo}",
                "export the annotations of this photo alone",
            )
        chosen = images
        notes += _other_photo(path, str(images[0]["file_name"]), photo)
    image = chosen[0]
    height, width = _size(image["height"], image["width"])
    classes = {entry["id"]: str(entry["name"]) for entry in table.get("categories") or []}
    number = image.get("id", image.get("image_id"))
    labels: list[str] = []
    masks: list[BoolMask] = []
    for entry in table["annotations"]:
        if "image_id" in entry and number is not None and entry["image_id"] != number:
            continue
        segmentation = entry.get("segmentation")
        if not segmentation:
            raise UserError(
                f"the annotations {path} have a box without an outline",
                "export them with segmentation, or make masks of boxes: bas masks --box",
            )
        if isinstance(segmentation, dict):
            mask = decode_rle(segmentation)
            if mask.shape != (height, width):
                raise ValueError(f"a mask of {mask.shape[1]}x{mask.shape[0]} pixels")
        else:
            mask = rasterise(segmentation, width, height)
        labels.append(classes.get(entry.get("category_id"), ""))
        masks.append(mask)
        if len(masks) > MAX_SHAPES:
            break
    if not masks:
        raise UserError(f"the annotations {path} mark nothing on {photo}", "check the file")
    return Annotation(labels, masks, notes)


def _other_photo(path: Path, named: str, photo: str) -> list[str]:
    if _same_photo(named, photo):
        return []
    return [f"{path.name} was made for {Path(named.replace(chr(92), '/')).name}, not for {photo}"]


def _same_photo(named: str, photo: str) -> bool:
    """By file name without its suffix: photos are converted after they are annotated."""
    return Path(named.replace("\\", "/")).stem == Path(photo).stem


def _size(height: Any, width: Any) -> tuple[int, int]:
    height, width = int(height), int(width)
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a size of {width}x{height}")
    return height, width


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large for the annotations of a photo", "export one")
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no JSON file ({error})", "export the annotations again"
        ) from error
    if isinstance(table, list):
        table = {"annotations": table, "images": []}
    if not isinstance(table, dict):
        raise UserError(f"{path} holds no annotations", "export them from labelme or COCO tools")
    return table
