"""Reads the headers of safetensors files: names, shapes and metadata, never a weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from engine.core.errors import UserError

MAX_HEADER = 100_000_000
SUFFIX = ".safetensors"
PICKLES = frozenset({".ckpt", ".bin", ".pt", ".pth", ".pkl"})
DAMAGED = "copy or download it again"


class Header(NamedTuple):
    """The header of a safetensors file."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    dtypes: dict[str, str]
    """Of the tensors, as safetensors says them: `F16`, `I64`, ..."""


def is_safetensors(path: Path) -> bool:
    """By its name, whatever the case."""
    return path.suffix.lower() == SUFFIX


def is_pickle(path: Path) -> bool:
    """By its name; such a file is never opened."""
    return path.suffix.lower() in PICKLES


def read_header(path: Path) -> Header:
    """Tensor shapes and metadata of a safetensors file; UserError when it is damaged or cut off."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            fits = len(start) == 8 and 2 <= length <= min(size - 8, MAX_HEADER)
            header = file.read(length) if fits else b""
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", "check the file") from error
    try:
        table: Any = json.loads(header)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        pointer = start.startswith(b"version ")
        raise UserError(
            f"{path} is {'a Git LFS pointer' if pointer else 'no safetensors file'}",
            "fetch it with git lfs pull" if pointer else DAMAGED,
        )
    entries = cast(dict[str, Any], table)
    told: Any = entries.pop("__metadata__", None)
    metadata = cast(dict[Any, Any], told) if isinstance(told, dict) else {}
    try:
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        dtypes = {name: str(entry["dtype"]) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise UserError(f"{path} is damaged", DAMAGED) from error
    if 8 + length + end > size:
        raise UserError(f"{path} is cut off", DAMAGED)
    told_texts = {str(key): str(value) for key, value in metadata.items()}
    return Header(shapes, told_texts, dtypes)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
