"""The state of a training stage on disk: safetensors files of at most 16 MiB and one JSON file.

A save is written into a fresh folder which then takes the old one's name, so a build that is killed
at any moment finds a whole state.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

FILE_BYTES = 15 * 2**20


def save(folder: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON facts as ``folder``, replacing what was there."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    part: dict[str, torch.Tensor] = {}
    size = count = 0

    def flush() -> None:
        nonlocal part, size, count
        save_file(part, fresh / f"part-{count:03d}.safetensors")
        part, size, count = {}, 0, count + 1

    for name, tensor in tensors.items():
        stored = tensor.detach().cpu().contiguous().clone()
        if part and size + stored.nbytes > FILE_BYTES:
            flush()
        part[name] = stored
        size += stored.nbytes
    flush()
    (fresh / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def exists(folder: Path) -> bool:
    """Whether a state can be loaded (an interrupted replacement counts)."""
    return _whole(folder) is not None


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a state back: tensors by name, and the facts."""
    found = _whole(folder)
    if found is None:
        raise FileNotFoundError(folder)
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(found.glob("part-*.safetensors")):
        tensors.update(load_file(path))
    return tensors, json.loads((found / "facts.json").read_text())


def _whole(folder: Path) -> Path | None:
    # Between the two renames of a save only the old folder, complete, carries the state.
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        if (candidate / "facts.json").exists():
            return candidate
    return None
