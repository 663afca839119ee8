"""Unsaved painting kept beside the runs, so that a closed terminal loses none of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
    told: Mapping[str, Any]
    """What the writer said besides, as JSON can hold it."""


def recovery_path(source: Path, kind: str = "") -> Path:
    """Where the unsaved painting of that photo lies; each `kind` of painting has its own."""
    key = f"{kind}:{source.expanduser().resolve()}" if kind else f"{source.expanduser().resolve()}"
    return cache_dir() / "recovery" / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npz"


def write_recovery(
    source: Path,
    image: Picture,
    concepts: Sequence[ConceptMask],
    kind: str = "",
    told: Mapping[str, Any] | None = None,
) -> int:
    """Write all masks as packed bits, in one piece; returns the bytes written."""
    head = {
        "image": _digest(image),
        "time": time.time(),
        "told": told or {},
        "concepts": [{"name": c.name, "initializer": c.initializer} for c in concepts],
    }
    arrays = {f"mask{i}": np.packbits(c.mask, axis=1) for i, c in enumerate(concepts)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, head=np.array(json.dumps(head)), **arrays)  # pyright: ignore[reportArgumentType]
    write_atomic(recovery_path(source, kind), buffer.getvalue())
    return buffer.tell()


def read_recovery(source: Path, image: Picture, kind: str = "") -> Recovered | None:
    """The unsaved painting of exactly this picture, or None; a damaged file counts as none."""
    width = image.shape[1]
    try:
        with np.load(recovery_path(source, kind), allow_pickle=False) as archive:
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
        told = head.get("told", {})
        return Recovered(
            concepts=concepts,
            saved_at=float(head["time"]),
            told=cast(dict[str, Any], told) if isinstance(told, dict) else {},
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def drop_recovery(source: Path, kind: str = "") -> None:
    """Forget the unsaved painting."""
    with contextlib.suppress(OSError):
        recovery_path(source, kind).unlink()


def _digest(image: Picture) -> str:
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()
