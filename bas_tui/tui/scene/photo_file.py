"""Opens a photo with or without masks for editing, and turns the result into a scene to train on.

The workbench edits the photo as it is, not the square that training cuts from it, so that masks can
be saved at the photo's size; large photos are edited scaled down.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import engine
from bas_tui.tui.scene.document import ConceptMask
from bas_tui.tui.scene.mask_folder import default_folder, plan_save, save_masks
from engine.core.errors import UserError
from engine.runs.folder import runs_dir
from engine.scenes.findings import Finding
from engine.scenes.image_files import read_photo
from engine.scenes.mask_files import LoadedMasks, load_masks, mask_paths
from engine.scenes.mask_ops import Mask, Picture, resized
from engine.scenes.scene import (
    INDEX_NAME,
    Scene,
    check_size,
    find_image,
    load_scene,
    masks_of,
    open_saved_scene,
)

WORK_SIDE = 1024
"""Longest side at which a photo is edited; the training square is no larger."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneFile:
    """A photo opened for editing."""

    source: Path
    """What the person named: an image or a folder."""
    photo: Path
    image: Picture
    """HxWx3 at most `WORK_SIDE` on its longest side."""
    size: tuple[int, int]
    """Width and height of the photo in pixels."""
    concepts: tuple[ConceptMask, ...]
    """At the size of `image`."""
    full_masks: tuple[Mask, ...]
    """The same masks at the photo's size."""
    mask_files: tuple[Path, ...] = ()
    """Files that hold one of the masks each; empty: there are none yet."""
    findings: tuple[Finding, ...] = ()
    """What was odd about the files."""
    notes: tuple[str, ...] = ()
    fixed: bool = False
    """Whether the folder belongs to a run or the package and is never written to."""

    @property
    def masks_folder(self) -> Path | None:
        """The one folder that all masks came from."""
        folders = {path.parent for path in self.mask_files}
        return folders.pop() if len(folders) == 1 and not self.fixed else None


def open_scene_file(path: Path, masks: Sequence[Path] = ()) -> SceneFile:
    """A photo, a scene folder or a saved scene; without masks it opens empty.

    Raises UserError as `engine.scenes.scene.load_scene` does for files that cannot be read.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"there is no image {path}", "check the path")
    if not masks and (path / INDEX_NAME).is_file():
        saved = open_saved_scene(path)
        files = tuple(path / "masks" / f"{name}.png" for name in saved.names)
        found = [ConceptMask(name, mask) for name, mask in saved.concepts]
        return _scene_file(path, path / "image.png", saved.image, found, files, saved.notes, True)
    photo = find_image(path) if path.is_dir() else path
    read = read_photo(photo)
    check_size(photo, (read.pixels.shape[1], read.pixels.shape[0]))
    if not masks:
        try:
            masks = masks_of(photo, read)
        except UserError:
            masks = ()
    files = mask_paths(masks, exclude=photo) if masks else []
    # Inverted masks are seen here, and said by the checks.
    loaded = load_masks(files, read, photo, inverted=False) if files else LoadedMasks([], [], [])
    found = [ConceptMask(name, mask) for name, mask in loaded.concepts]
    own = [file for file in files if file.stem in {concept.name for concept in found}]
    packaged = Path(engine.__file__).parent in photo.resolve().parents
    scene = _scene_file(
        path, photo, read.pixels, found, tuple(own), (*read.notes, *loaded.notes), packaged
    )
    return dataclasses.replace(scene, findings=(*read.findings, *loaded.findings))


def open_bare_photo(path: Path) -> SceneFile:
    """A photo, without looking for masks; raises UserError where it cannot be read."""
    photo = Path(path).expanduser()
    read = read_photo(photo)
    check_size(photo, (read.pixels.shape[1], read.pixels.shape[0]))
    return _scene_file(photo, photo, read.pixels, [], (), (*read.notes,), False)


def packaged_scenes() -> list[Path]:
    """The demo scenes that come with the package."""
    folder = Path(engine.__file__).parent / "pocket" / "scenes"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def suggested_folder(file: SceneFile) -> Path:
    """A folder that does not exist yet for the masks: beside the photo, else in the current one."""
    photo = file.photo
    if file.fixed or not os.access(photo.parent, os.W_OK):
        photo = Path.cwd() / f"{file.source.stem}{photo.suffix}"
    return default_folder(photo)


def at_photo_size(file: SceneFile, concepts: Sequence[ConceptMask]) -> list[ConceptMask]:
    """The masks at the photo's size; one that was not changed comes back to the pixel."""
    if file.size == (file.image.shape[1], file.image.shape[0]):
        return list(concepts)
    known = list(zip(file.concepts, file.full_masks, strict=True))
    return [
        concept._replace(
            mask=next(
                (full for old, full in known if np.array_equal(old.mask, concept.mask)),
                resized(concept.mask, file.size),
            )
        )
        for concept in concepts
    ]


def to_scene(file: SceneFile, concepts: Sequence[ConceptMask]) -> Scene:
    """The scene that `bas train` would load from the photo and these masks, in this order.

    Raises UserError on any finding of level error.
    """
    with tempfile.TemporaryDirectory(prefix="bas-masks-") as name:
        target = plan_save(Path(name), [concept.name for concept in concepts])
        files = save_masks(target, at_photo_size(file, concepts))
        scene = load_scene(file.photo, files, inverted=False)
    return dataclasses.replace(scene, source=str(file.source))


def _scene_file(
    source: Path,
    photo: Path,
    pixels: Picture,
    concepts: Sequence[ConceptMask],
    files: tuple[Path, ...],
    notes: tuple[str, ...],
    fixed: bool,
) -> SceneFile:
    height, width = pixels.shape[:2]
    scale = min(1.0, WORK_SIDE / max(width, height))
    work = max(1, round(width * scale)), max(1, round(height * scale))
    image = pixels
    if scale < 1:
        image = np.asarray(cv2.resize(pixels, work, interpolation=cv2.INTER_AREA), np.uint8)
        notes = (*notes, f"edited at {work[0]}x{work[1]}; masks are saved at {width}x{height}")
    return SceneFile(
        source=source,
        photo=photo,
        image=image,
        size=(width, height),
        concepts=tuple(c._replace(mask=resized(c.mask, work)) for c in concepts),
        full_masks=tuple(c.mask for c in concepts),
        mask_files=files,
        notes=notes,
        fixed=fixed or runs_dir() in photo.resolve().parents,
    )
