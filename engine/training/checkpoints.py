"""Checkpoints: trained weights, optimiser, generator and step; enough to go on bitwise.

A checkpoint is a folder `checkpoints/step-000200/` with safetensors files and a small JSON file.
It is filled under another name and renamed, so a kill never leaves half of one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn, optim

from engine.core.errors import BasError
from engine.files.atomic import new_folder
from engine.files.weights_io import load_tensors, save_tensors

STEP = re.compile(r"step-(\d{6,})")


class CheckpointState(NamedTuple):
    """What the loop needs besides the weights, which are loaded in place."""

    folder: Path
    step: int
    phase: int
    generators: dict[str, torch.Tensor]
    """Generator states by name, uint8."""


def save_checkpoint(
    root: Path,
    *,
    step: int,
    phase: int,
    parameters: Mapping[str, nn.Parameter],
    optimizer: optim.Optimizer,
    generators: Mapping[str, torch.Tensor],
    keep: int,
) -> Path:
    """Write the checkpoint of a step and drop all but the newest `keep`; returns its folder.

    `generators` holds generator states by name, one per process of a distributed run.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    moments: dict[str, torch.Tensor] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            moments[f"{names[id(parameter)]}/{key}"] = torch.as_tensor(value)
    folder = root / f"step-{step:06d}"
    with new_folder(folder) as temporary:
        save_tensors(temporary / "weights.safetensors", dict(parameters))
        save_tensors(temporary / "optimizer.safetensors", moments)
        save_tensors(temporary / "generators.safetensors", generators)
        (temporary / "state.json").write_text(json.dumps({"step": step, "phase": phase}))
    for old in list_checkpoints(root)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def list_checkpoints(root: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not root.is_dir():
        return []
    found = [(STEP.fullmatch(path.name), path) for path in root.iterdir()]
    complete = [
        (int(match[1]), path) for match, path in found if match and (path / "state.json").is_file()
    ]
    return [path for _, path in sorted(complete)]


def read_state(folder: Path) -> CheckpointState:
    """Step, phase and generator states of a checkpoint; raises BasError when it is damaged."""
    try:
        record: dict[str, Any] = json.loads((folder / "state.json").read_text())
        step, phase = int(record["step"]), int(record["phase"])
    except (OSError, ValueError, KeyError) as error:
        raise BasError(f"{folder} is damaged: {error}", "remove it to resume earlier") from error
    return CheckpointState(folder, step, phase, load_tensors(folder / "generators.safetensors"))


def load_weights(folder: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Copy the checkpoint's weights into the parameters of the same names."""
    stored = load_tensors(folder / "weights.safetensors")
    with torch.no_grad():
        for name, value in stored.items():
            if name not in parameters or parameters[name].shape != value.shape:
                raise BasError(
                    f"{folder} does not fit this base model ({name})",
                    "resume with the base model the run was started with",
                )
            parameters[name].copy_(value)


def load_optimizer(
    folder: Path, parameters: Mapping[str, nn.Parameter], optimizer: optim.Optimizer
) -> None:
    """Restore the optimiser's moments for the parameters of the same names."""
    stored = load_tensors(folder / "optimizer.safetensors")
    for key, value in stored.items():
        name, _, entry = key.rpartition("/")
        parameter = parameters[name]
        # AdamW's fused kernel wants its step counter on the parameter's device, as a float.
        optimizer.state[parameter][entry] = value.to(parameter.device)
