"""Safetensors files, written so that they are either whole or absent. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from engine.core.errors import BasError
from engine.files.atomic import force_to_disk, new_file

SHARD_BYTES = 512 * 2**20
"""Tensors of an accelerator pass through main memory by so much at a time."""


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, and texts into the header; the file appears in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as temporary:
        _save(temporary, tensors, metadata)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors; raises BasError for a damaged or missing file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BasError(
            f"cannot read {path}: {error}", "the file is damaged: make it again"
        ) from error


def save_shards(
    folder: Path, stem: str, tensors: Mapping[str, torch.Tensor], limit: int = SHARD_BYTES
) -> None:
    """Write named tensors as `STEM-00.safetensors`, `STEM-01.safetensors` ... of at most `limit`.

    For a folder that is itself filled under another name: the files are forced to disk, not
    renamed. A tensor above the limit has a file of its own.
    """
    for number, shard in enumerate(_shards(tensors, limit)):
        path = folder / f"{stem}-{number:02d}.safetensors"
        _save(path, shard)
        force_to_disk(path)


def load_shards(folder: Path, stem: str) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors of `save_shards`, file by file; a single `STEM.safetensors` is read too."""
    for path in shard_paths(folder, stem):
        yield load_tensors(path)


def shard_paths(folder: Path, stem: str) -> list[Path]:
    """The files that `load_shards` reads."""
    return sorted(folder.glob(f"{stem}-*.safetensors")) or [folder / f"{stem}.safetensors"]


def tensor_names(path: Path) -> list[str]:
    """Names of the tensors in a file; raises BasError for a damaged or missing one."""
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise BasError(
            f"cannot read {path}: {error}", "the file is damaged: make it again"
        ) from error


def _save(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    try:
        save_file(held, path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        # It speaks of the system's error in words only; here a write fails for nothing else.
        raise OSError(f"cannot write {path}: {error}") from error


def _shards(tensors: Mapping[str, torch.Tensor], limit: int) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for key, tensor in tensors.items():
        if shard and size + tensor.nbytes > limit:
            yield shard
            shard, size = {}, 0
        shard[key] = tensor
        size += tensor.nbytes
    yield shard
