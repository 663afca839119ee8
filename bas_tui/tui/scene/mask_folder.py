"""Writes a document's masks as plain 8-bit PNGs; never touches the photo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bas_tui.tui.scene.document import ConceptMask
from engine.core.errors import UserError
from engine.files.atomic import write_atomic


class SaveTarget(NamedTuple):
    """A folder that masks would go to, and what is there already."""

    folder: Path
    overwrites: tuple[str, ...]
    """Files that would be written over."""
    removes: tuple[str, ...]
    """Files of this document whose concept was renamed or deleted."""


def default_folder(photo: Path) -> Path:
    """`<photo>_masks` beside the photo, numbered where that is taken."""
    first = photo.with_name(f"{photo.stem}_masks")
    candidate, count = first, 2
    while candidate.exists():
        candidate, count = first.with_name(f"{first.name}{count}"), count + 1
    return candidate


def plan_save(folder: Path, names: Sequence[str], own_files: Sequence[str] = ()) -> SaveTarget:
    """What saving these concepts to `folder` would do.

    `own_files` are the mask files that this document was read from or wrote there.
    """
    wanted = [f"{name}.png" for name in names]
    present = {path.name for path in folder.glob("*.png")} if folder.is_dir() else set[str]()
    return SaveTarget(
        folder,
        tuple(name for name in wanted if name in present),
        tuple(name for name in own_files if name in present and name not in wanted),
    )


def save_masks(target: SaveTarget, concepts: Sequence[ConceptMask]) -> list[Path]:
    """Write one `<name>.png` (0 or 255, the document's size) per concept; what the target
    `removes` goes.

    Raises UserError where the folder cannot be written.
    """
    written: list[Path] = []
    try:
        target.folder.mkdir(parents=True, exist_ok=True)
        for concept in concepts:
            buffer = io.BytesIO()
            Image.fromarray(concept.mask.astype(np.uint8) * 255).save(buffer, "PNG", optimize=True)
            path = target.folder / f"{concept.name}.png"
            write_atomic(path, buffer.getvalue())
            written.append(path)
        for name in target.removes:
            (target.folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write masks to {target.folder}: {error.strerror}", "choose another folder"
        ) from error
    return written
