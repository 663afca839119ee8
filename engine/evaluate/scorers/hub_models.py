"""Loads a scorer's model from a local folder or the hub; what fails has a remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine.core.errors import UserError
from engine.families.quiet import quiet_libraries


def pretrained(load: Callable[..., Any], source: str, purpose: str, **options: Any) -> Any:
    """`load(source)`, where source is a folder or a hub id; raises UserError.

    Weights come from safetensors files only: other formats can run code.
    """
    folder = Path(source).expanduser()
    where = str(folder) if folder.is_dir() else source
    try:
        with quiet_libraries():
            return load(where, **options)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"cannot load {source} for {purpose} ({_first_line(error)})",
            "give a folder of the model in safetensors format, or connect to the hub",
        ) from error


def weights_sum(model: torch.nn.Module) -> str:
    """A short sum of all weights, so that scores name what they were made with."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
