"""Safetensors files, written so that they are either whole or absent. Nothing is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.core.errors import BasError


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors, and texts into the header; the file appears in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        ready = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
        save_file(ready, temporary, dict(metadata) if metadata else None)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors; raises BasError for a damaged or missing file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BasError(
            f"cannot read {path}: {error}", "the file is damaged: make it again"
        ) from error
