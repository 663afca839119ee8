"""Checkpoints: trained weights, optimiser, generators and step; enough to go on bitwise.

A checkpoint is a folder `checkpoints/step-000200/` of safetensors files and a small JSON file with
their checksums. It is filled under another name, forced to disk and renamed, so a kill or a power
cut never leaves half of one; a newest one that the disk has damaged is passed over for the one
before.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn, optim

from engine.core.errors import BasError
from engine.files.atomic import checksum, force_to_disk, new_folder
from engine.files.weights_io import (
    Shard,
    StoredTensors,
    load_shards,
    load_tensors,
    make_shards,
    save_tensors,
    shard_paths,
    tensor_names,
)

WEIGHTS, MOMENTS, GENERATORS = "weights", "optimizer", "generators.safetensors"
"""Its files; the first two are beginnings of names."""
STEP = re.compile(r"step-(\d{6,})")
DAMAGED = "damaged-"
"""Begins the name of a checkpoint that was passed over; the next one removes it."""


class Checkpoint(NamedTuple):
    """What a checkpoint holds; the tensors may still lie on the device."""

    step: int
    phase: int
    weights: Mapping[str, torch.Tensor]
    moments: Mapping[str, torch.Tensor]
    """The optimiser's state, `parameter/entry`."""
    generators: Mapping[str, torch.Tensor]
    """Generator states by name, uint8."""

    @property
    def bytes(self) -> int:
        """Size on disk, but for a few kilobytes."""
        return sum(t.nbytes for part in self[2:] for t in part.values())


class CheckpointState(NamedTuple):
    """What the loop needs besides the weights, which are loaded in place."""

    folder: Path
    step: int
    phase: int
    generators: dict[str, torch.Tensor]
    """Generator states by name, uint8."""


def gather_checkpoint(
    *,
    step: int,
    phase: int,
    parameters: Mapping[str, nn.Parameter],
    optimizer: optim.Optimizer,
    generators: Mapping[str, torch.Tensor],
) -> Checkpoint:
    """The checkpoint of a step as references to what is being trained; nothing is copied."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    moments: dict[str, torch.Tensor] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            moments[f"{names[id(parameter)]}/{key}"] = torch.as_tensor(value)
    weights = {name: parameter.detach() for name, parameter in parameters.items()}
    return Checkpoint(step, phase, weights, moments, generators)


class Filling(NamedTuple):
    """A checkpoint that is being written: its folder under another name, and its files."""

    folder: Path
    shards: list[Shard]

    def weights(self) -> StoredTensors:
        """Its weights, once their files are written."""
        return StoredTensors(shard_paths(self.folder, WEIGHTS))


@contextmanager
def new_checkpoint(root: Path, checkpoint: Checkpoint, *, keep: int) -> Iterator[Filling]:
    """A checkpoint to fill: every shard is to be written into the folder within the block.

    It then gets its checksums, is forced to disk and appears; all but the newest `keep` are
    dropped. Raises OSError where it cannot be written; the older ones are then still there.
    """
    shards = make_shards(WEIGHTS, checkpoint.weights) + make_shards(MOMENTS, checkpoint.moments)
    with new_folder(folder_of(root, checkpoint.step)) as temporary:
        yield Filling(temporary, shards)
        save_tensors(temporary / GENERATORS, checkpoint.generators)
        names = sorted([GENERATORS, *(shard.name for shard in shards)])
        record = {
            "step": checkpoint.step,
            "phase": checkpoint.phase,
            "checksums": {name: checksum(temporary / name) for name in names},
        }
        (temporary / "state.json").write_text(json.dumps(record))
    prune(root, keep)


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return root / f"step-{step:06d}"


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and those that were passed over."""
    damaged = root.glob(f"{DAMAGED}*") if root.is_dir() else ()
    for old in [*list_checkpoints(root)[: -keep or None], *damaged]:
        shutil.rmtree(old, ignore_errors=True)


def list_checkpoints(root: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not root.is_dir():
        return []
    found = [(STEP.fullmatch(path.name), path) for path in root.iterdir()]
    complete = [
        (int(match[1]), path) for match, path in found if match and (path / "state.json").is_file()
    ]
    return [path for _, path in sorted(complete)]


def newest_whole(root: Path) -> tuple[CheckpointState | None, list[str]]:
    """The newest checkpoint whose files are as they were written, and what was wrong with newer.

    One that is damaged is renamed, so that nothing takes it for the newest again.
    """
    wrong: list[str] = []
    for folder in reversed(list_checkpoints(root)):
        try:
            return read_state(folder), wrong
        except BasError as error:
            wrong.append(f"the checkpoint {folder.name} is damaged ({error.message})")
            aside = folder.with_name(DAMAGED + folder.name)
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            force_to_disk(root)
    return None, wrong


def read_state(folder: Path) -> CheckpointState:
    """Step, phase and generator states of a checkpoint; raises BasError when it is damaged.

    Every file is read and held against its checksum.
    """
    try:
        record: dict[str, Any] = json.loads((folder / "state.json").read_text())
        step, phase = int(record["step"]), int(record["phase"])
        sums: dict[str, str] = dict(record.get("checksums", {}))
        for name, expected in sums.items():
            path = folder / Path(name).name
            if checksum(path) != expected:
                raise BasError(f"{name} is not what was written", "an earlier one is taken")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BasError(_word(error), "an earlier one is taken") from error
    return CheckpointState(folder, step, phase, load_tensors(folder / GENERATORS))


def weight_names(folder: Path) -> set[str]:
    """Names of the weights that a checkpoint holds; reads no weights."""
    return {name for path in shard_paths(folder, WEIGHTS) for name in tensor_names(path)}


def load_weights(folder: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Copy the checkpoint's weights into the parameters of the same names."""
    with torch.no_grad():
        for stored in load_shards(folder, WEIGHTS):
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
    """Restore the optimiser's moments for the parameters of the same names.

    A run may be resumed with another `phase2.train`: moments of what is trained no longer are left
    out, what was not trained before starts with none.
    """
    for stored in load_shards(folder, MOMENTS):
        for key, value in stored.items():
            name, _, entry = key.rpartition("/")
            if name not in parameters:
                continue
            parameter = parameters[name]
            # AdamW's fused kernel wants its step counter on the parameter's device, as a float; the
            # 8-bit one counts with a number.
            counted = entry == "step" and not value.is_floating_point()
            optimizer.state[parameter][entry] = (
                int(value.item()) if counted else value.to(parameter.device)
            )


def _word(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(error.filename or '').name}: {error.strerror}"
    return f"state.json: {error}"
