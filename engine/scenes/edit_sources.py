"""What an edit was made of, kept beside its pictures: its regions, and the photo as it was read.

So a picture's own command repeats it to the last bit, wherever the photo has gone. Shapes: masks
HxW, pictures HxWx3.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from engine.core.errors import UserError
from engine.core.plain_text import plain
from engine.files.atomic import write_atomic
from engine.runs.folder import edited_photo_file, region_file
from engine.scenes.mask_ops import Mask, Picture, mask_digest, picture_digest


def keep_region(mask: Mask, pictures: Path) -> Path:
    """The region as a PNG named by its digest, which the pictures' recipes tell, too."""
    path = region_file(pictures, mask_digest(mask))
    return _written(path, Image.fromarray(mask.astype(np.uint8) * 255), optimize=True)


def keep_photo(photo: Picture, name: str, pictures: Path) -> Path:
    """The photo upright and without metadata; `name`: of its file, without the suffix."""
    path = edited_photo_file(pictures, plain(name), picture_digest(photo))
    return _written(path, Image.fromarray(photo))


def _written(path: Path, picture: Image.Image, *, optimize: bool = False) -> Path:
    if path.exists():
        return path
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=optimize)
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "is the disk full?") from error
    return path
