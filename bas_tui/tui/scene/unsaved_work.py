"""Unsaved painting kept beside the runs, so that a closed terminal loses none of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bas_tui.tui.scene.document import ConceptMask
from engine.files.atomic import write_atomic
from engine.runs.folder import cache_dir
from engine.scenes.mask_ops import Picture


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Painting that was never saved."""

    concepts: tuple[ConceptMask, ...]
    saved_at: float
    """Seconds since the epoch."""


def recovery_path(source: Path) -> Path:
    """Where the unsaved painting of that photo lies."""
    digest = hashlib.sha256(str(source.expanduser().resolve()).encode()).hexdigest()[:20]
    return cache_dir() / "recovery" / f"{digest}.npz"


def write_recovery(source: Path, image: Picture, concepts: Sequence[ConceptMask]) -> int:
    """Write all masks as packed bits, in one piece; returns the bytes written."""
    head = {
        "image": _digest(image),
        "time": time.time(),
        "concepts": [{"name": c.name, "initializer": c.initializer} for c in concepts],
    }
    arrays = {f"mask{i}": np.packbits(c.mask, axis=1) for i, c in enumerate(concepts)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(json.dumps(head)), **arrays)  # pyright: ignore[reportArgumentType]
    write_atomic(recovery_path(source), buffer.getvalue())
    return buffer.tell()


def read_recovery(source: Path, image: Picture) -> Recovered | None:
    """The unsaved painting of exactly this picture, or None; a damaged file counts as none."""
    width = image.shape[1]
    try:
        with np.load(recovery_path(source), allow_pickle=False) as archive:
            head = json.loads(str(archive["head"]))
            if head["image"] != _digest(image):
                return None
            concepts = tuple(
                ConceptMask(
                    entry["name"],
                    np.unpackbits(archive[f"mask{i}"], axis=1, count=width).astype(np.bool_),
                    entry["initializer"],
                )
                for i, entry in enumerate(head["concepts"])
            )
        return Recovered(concepts=concepts, saved_at=float(head["time"]))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def drop_recovery(source: Path) -> None:
    """Forget the unsaved painting."""
    with contextlib.suppress(OSError):
        recovery_path(source).unlink()


def _digest(image: Picture) -> str:
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
