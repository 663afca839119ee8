"""Safetensors files, written so that they are either whole or absent. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from engine.core.errors import BasError
from engine.files.atomic import new_file

SHARD_BYTES = 256 * 2**20
"""Tensors of an accelerator pass through main memory by so much at a time."""
PIECE_ALIGNMENT = 64
"""Of a tensor in a shared piece of memory, bytes."""


class Shard(NamedTuple):
    """Named tensors that share a file."""

    name: str
    """Of the file."""
    tensors: Mapping[str, torch.Tensor]

    @property
    def bytes(self) -> int:
        """Size on disk, but for its header."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def copied(self) -> Shard:
        """The same with tensors of its own in main memory, which nothing else changes."""
        # In one piece, which goes back to the system as a whole: what many small ones leave behind
        # stays with the process.
        starts: dict[str, int] = {}
        end = 0
        for key, tensor in self.tensors.items():
            starts[key] = -(-end // PIECE_ALIGNMENT) * PIECE_ALIGNMENT
            end = starts[key] + tensor.nbytes
        piece = torch.empty(end, dtype=torch.uint8)
        held: dict[str, torch.Tensor] = {}
        for key, tensor in self.tensors.items():
            place = piece[starts[key] : starts[key] + tensor.nbytes]
            held[key] = place.view(tensor.dtype).view(tensor.shape)
            held[key].copy_(tensor.detach())
        return Shard(self.name, held)

    def write(self, folder: Path) -> None:
        """Write the file; raises OSError.

        For a folder that is itself filled under another name: `new_folder` forces its files to
        disk.
        """
        here = all(t.is_cpu and t.is_contiguous() for t in self.tensors.values())
        _save(folder / self.name, (self if here else self.copied()).tensors)


class StoredTensors(Mapping[str, torch.Tensor]):
    """The tensors of files by name, each read when it is asked for and then forgotten."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = {name: path for path in paths for name in tensor_names(path)}

    def __getitem__(self, name: str) -> torch.Tensor:
        path = self._paths[name]
        try:
            with safe_open(path, "pt") as file:
                return file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise _unreadable(path, error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


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
        raise _unreadable(path, error) from error


def make_shards(
    stem: str, tensors: Mapping[str, torch.Tensor], limit: int = SHARD_BYTES
) -> list[Shard]:
    """Named tensors as files `STEM-00.safetensors`, `STEM-01.safetensors` ... of at most `limit`.

    A tensor above the limit has a file of its own; without tensors there is one empty file.
    """
    parts: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        if parts[-1] and size + tensor.nbytes > limit:
            parts.append({})
            size = 0
        parts[-1][key] = tensor
        size += tensor.nbytes
    return [Shard(f"{stem}-{k:02d}.safetensors", part) for k, part in enumerate(parts)]


def load_shards(folder: Path, stem: str) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors of `make_shards`, file by file; a single `STEM.safetensors` is read too."""
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
        raise _unreadable(path, error) from error


def _save(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    held = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    try:
        save_file(held, path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        # It speaks of the system's error in words only; here a write fails for nothing else.
        raise OSError(f"cannot write {path}: {error}") from error


def _unreadable(path: Path, error: Exception) -> BasError:
    return BasError(f"cannot read {path}: {error}", "the file is damaged: make it again")
