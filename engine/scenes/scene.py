"""A scene: one square picture and a mask per concept. The only reader of user images.

Shapes: H, W height and width in pixels; a scene is square, H == W.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.core.errors import UserError
from engine.core.prompt_grammar import BACKGROUND_NAMES
from engine.scenes.checks import BoolMask, SceneConcept, check_scene
from engine.scenes.findings import Finding
from engine.scenes.image_files import Photo, Pixels, open_picture, read_photo
from engine.scenes.mask_files import (
    ONETRAINER,
    InvertedMasksError,
    find_masks,
    load_masks,
    picture_files,
)
from engine.scenes.mask_grid import resize_mask
from engine.scenes.mask_ops import grow, shrink
from engine.scenes.mask_pictures import LEAST_OPACITY
from engine.scenes.square_crop import crop_square

__all__ = [
    "Finding",
    "InvertedMasksError",
    "Scene",
    "SceneConcept",
    "check_scene",
    "find_image",
    "find_masks",
    "load_image",
    "load_masks",
    "load_scene",
    "masks_of",
    "open_saved_scene",
    "resize_scene",
    "save_scene",
    "scene_hash",
]

MIN_SIDE = 32
"""Smaller pictures hold no thing that could be learned."""

INDEX_NAME = "scene.json"
IMAGE_STEMS = ("img", "image", "scene", "photo", "picture")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A square picture with its concepts, ready to train on. Two scenes compare by `scene_hash`."""

    image: Pixels
    """HxWx3, H == W."""
    concepts: tuple[SceneConcept, ...]
    notes: tuple[str, ...] = ()
    """What was done to the person's files, one line each."""
    source: str = ""
    findings: tuple[Finding, ...] = ()
    """Warnings met while loading, those of `check_scene` included."""

    @property
    def side(self) -> int:
        """Pixels along one side."""
        return self.image.shape[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(concept.name for concept in self.concepts)


def load_image(path: Path) -> Pixels:
    """A picture as HxWx3, EXIF orientation applied, metadata dropped; raises UserError."""
    return read_photo(Path(path).expanduser()).pixels


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Raises UserError for a picture of a width and height that cannot be trained."""
    if min(size) < MIN_SIDE:
        raise UserError(
            f"the image {path} is {size[0]}x{size[1]}; the least is {MIN_SIDE}x{MIN_SIDE}",
            "take a larger picture",
        )


def load_scene(
    path: Path,
    masks: Sequence[Path] = (),
    *,
    max_side: int = 1024,
    grid: int = 16,
    inverted: bool | None = None,
) -> Scene:
    """The scene of an image file or a folder, with masks from `masks`, from beside the image, or
    from its own transparency.

    The picture is cut to the largest square that holds every mask and scaled down to at most
    `max_side` pixels; a square picture within that size keeps every pixel. `grid` is the attention
    grid at which masks are checked. `inverted`: whether what is black in the masks is the thing;
    None raises InvertedMasksError where that looks so. Raises UserError on any finding of level
    error.
    """
    path = Path(path).expanduser()
    if not masks and (path / INDEX_NAME).is_file():
        saved = open_saved_scene(path)
        return _finish(dataclasses.replace(saved, source=str(path)), max_side, grid)
    image_path = find_image(path) if path.is_dir() else path
    photo = read_photo(image_path)
    image, notes = photo.pixels, list(photo.notes)
    size = image.shape[1], image.shape[0]
    check_size(image_path, size)
    if not masks:
        masks = masks_of(image_path, photo)
        where = masks[0].parent if masks[0].is_file() else masks[0]
        if masks[0] != image_path:
            notes.append(f"masks found in {where}")
    concepts, said, odd = load_masks(masks, photo, image_path, inverted=inverted)
    _raise_first(check_scene(size, concepts, grid=grid))
    image, concepts, cropped, lost = crop_square(image, concepts)
    scene = Scene(
        image=image,
        concepts=tuple(concepts),
        notes=(*notes, *said, *cropped),
        source=str(path),
        findings=(*photo.findings, *odd, *lost),
    )
    return _finish(scene, max_side, grid)


def save_scene(scene: Scene, folder: Path) -> None:
    """Write image.png, masks/<name>.png and scene.json, in one piece; equal scenes, equal bytes.

    Replaces a saved scene; raises UserError where the folder holds something else.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not (folder / INDEX_NAME).is_file() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files", "name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        new = temporary / "new"
        (new / "masks").mkdir(parents=True)
        (new / "image.png").write_bytes(_png(Image.fromarray(scene.image)))
        for name, mask in scene.concepts:
            picture = Image.fromarray(mask.astype(np.uint8) * 255)
            (new / "masks" / f"{name}.png").write_bytes(_png(picture))
        index = {
            "concepts": list(scene.names),
            "notes": list(scene.notes),
            "findings": [finding._asdict() for finding in scene.findings],
            "source": scene.source,
        }
        text = json.dumps(index, indent=1, ensure_ascii=False) + "\n"
        (new / INDEX_NAME).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rename(temporary / "old")
        new.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_saved_scene(folder: Path) -> Scene:
    """The scene that `save_scene` wrote, exactly; raises UserError when it is damaged."""
    folder = Path(folder).expanduser()
    try:
        index: dict[str, Any] = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        names = [str(name) for name in index["concepts"]]
        notes = tuple(str(note) for note in index.get("notes", ()))
        findings = tuple(Finding(**entry) for entry in index.get("findings", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder} is no saved scene ({error})", "load the image anew") from error
    image = load_image(folder / "image.png")
    masks: list[BoolMask] = []
    for name in names:
        picture, _ = open_picture(folder / "masks" / f"{name}.png", "mask")
        masks.append(np.asarray(picture.convert("L")) > 127)
    concepts = tuple(map(SceneConcept, names, masks))
    if image.shape[0] != image.shape[1] or any(mask.shape != image.shape[:2] for mask in masks):
        raise UserError(f"{folder} is no saved scene (sizes differ)", "load the image anew")
    return Scene(
        image=image,
        concepts=concepts,
        notes=notes,
        source=str(index.get("source", "")),
        findings=findings,
    )


def resize_scene(scene: Scene, side: int) -> Scene:
    """The scene at `side` pixels: image by Lanczos, masks nearest; the same one where it fits."""
    if side == scene.side:
        return scene
    size = side, side
    image = np.array(Image.fromarray(scene.image).resize(size, Image.Resampling.LANCZOS))
    concepts = tuple(SceneConcept(name, resize_mask(mask, size)) for name, mask in scene.concepts)
    return dataclasses.replace(scene, image=image, concepts=concepts)


def with_rims(scene: Scene, cells: int, grid: int) -> Scene:
    """Every mask grown by cells of the attention grid, or shrunk where `cells` is below 0.

    A background keeps out of the things. Raises UserError where nothing is left of a mask.
    """
    if cells == 0:
        return scene
    pixels = round(abs(cells) * scene.side / grid)
    change = grow if cells > 0 else shrink
    changed = {
        name: change(mask, pixels) for name, mask in scene.concepts if name not in BACKGROUND_NAMES
    }
    things = np.logical_or.reduce([np.zeros(scene.image.shape[:2], bool), *changed.values()])
    concepts = tuple(
        SceneConcept(name, changed[name] if name in changed else mask & ~things)
        for name, mask in scene.concepts
    )
    for name, mask in concepts:
        if not mask.any():
            raise UserError(
                f"data.mask_rim={cells} leaves nothing of {name}", "take a number nearer to 0"
            )
    return dataclasses.replace(scene, concepts=concepts)


def scene_hash(scene: Scene) -> str:
    """sha256 over pixels, names and masks in order, as hex digits."""
    digest = hashlib.sha256(f"{scene.side}\n".encode())
    digest.update(np.ascontiguousarray(scene.image).tobytes())
    for name, mask in scene.concepts:
        digest.update(f"{name}\n".encode())
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def _finish(scene: Scene, max_side: int, grid: int) -> Scene:
    """Scale down to `max_side` and check."""
    if scene.side > max_side:
        note = f"scaled from {scene.side}x{scene.side} to {max_side}x{max_side}"
        scene = resize_scene(scene, max_side)
        scene = dataclasses.replace(scene, notes=(*scene.notes, note))
    findings = check_scene((scene.side, scene.side), scene.concepts, grid=grid)
    _raise_first(findings)
    # Whether masks are inverted was settled on the whole photo; a close crop may look so too.
    known = (*scene.findings, *(f for f in findings if f.kind == "inverted"))
    fresh = [finding for finding in findings if finding not in known]
    return dataclasses.replace(scene, findings=(*scene.findings, *fresh))


def _raise_first(findings: Sequence[Finding]) -> None:
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(errors[0].message + more, errors[0].remedy)


def find_image(folder: Path) -> Path:
    """The image of a scene folder: img.jpg, scene.png and the like, else the only picture."""
    files = picture_files(folder)
    named = [file for stem in IMAGE_STEMS for file in files if file.stem.lower() == stem]
    others = [
        file
        for file in files
        if not file.stem.lower().startswith("mask") and not file.stem.endswith(ONETRAINER)
    ]
    if named:
        return named[0]
    if len(others) == 1:
        return others[0]
    problem = "several pictures" if others else "no image"
    raise UserError(f"the folder {folder} holds {problem}", "name the image img.jpg or img.png")


def masks_of(image: Path, photo: Photo) -> list[Path]:
    """Where a photo's masks are if nobody names them; the photo itself: in its transparency.

    Raises UserError where there are none.
    """
    try:
        return find_masks(image)
    except UserError:
        alpha = photo.alpha
        if alpha is None or int(alpha.max()) - int(alpha.min()) < LEAST_OPACITY:
            raise
        return [image]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
