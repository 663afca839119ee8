"""Loads a base model: a name, a diffusers folder, a single safetensors file, or a hub id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from engine.core.config import TrainConfig
from engine.families.contract import Family
from engine.families.devices import half_type
from engine.families.load_request import LoadRequest
from engine.models.detection import check_folder
from engine.models.facts import prefers_half
from engine.models.resolve import resolve
from engine.models.weight_files import FULL
from engine.runs.events import Event, Progress

Report = Callable[[Event], None]


class LoadedBase(NamedTuple):
    """A base model in memory, and where it came from."""

    family: Family
    base_hash: str
    """sha256 of the UNet's weights: its file, its shards in order, or the whole single file."""
    source: str
    """The repository or path it was read from."""
    licence: str
    """Empty where nothing says it."""
    kind: str
    """Name of its `FamilyKind`."""


def load_family(
    base: str,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    report: Report,
    half: bool = False,
    prediction: str = "",
    vae: str = "",
    mapped: bool = False,
) -> LoadedBase:
    """The base model that `base` names (`engine.models.names.check_base`), fetched if need be.

    Weights are loaded as `dtype`, the autoencoder always in fp32; `half`: from half-precision files
    where there are some. `prediction` (epsilon or v_prediction) and `vae` (a file or folder) win
    over what the model says of itself. `mapped`: for weights that are read once; they may stay in
    their files and in those files' precision, cost next to no memory, and must not be written to.
    Reports progress of the stages `download` and `load`, and as notices what was chosen. Raises
    UserError for everything a person can mend: no such model, wrong kind or hash, no network.
    """
    own_vae = Path(vae).expanduser() if vae else None
    found = resolve(base, report, half=half, own_vae=own_vae is not None, prediction=prediction)
    report(Progress(stage="load", done=0, total=0, label=found.name))
    request = LoadRequest(
        found.path, found.name, device, dtype, tuple(found.variants), prediction, own_vae, mapped
    )
    family: Family = found.kind.load_function()(request)
    report(Progress(stage="load", done=1, total=1, label=found.name))
    return LoadedBase(family, found.sha256, found.source, found.licence, found.kind.name)


def load_for(
    base: str,
    config: TrainConfig,
    *,
    device: torch.device,
    precision: str,
    report: Report,
    mapped: bool = False,
) -> LoadedBase:
    """The base model as a run of these settings needs it (`load_family`, `mapped` too).

    Weights that stay frozen are kept in half precision on an accelerator that computes in it: no
    step is lost in their rounding, and nothing has to be cast.
    """
    frozen = prefers_half(config)
    dtype = torch.float32
    if frozen and device.type != "cpu" and precision != "fp32":
        dtype = half_type(precision)
    return load_family(
        base,
        device=device,
        dtype=dtype,
        report=report,
        half=frozen,
        prediction=config.base.predicts,
        vae=config.base.vae,
        mapped=mapped,
    )


def load_folder(
    folder: Path, *, device: torch.device, name: str = "", dtype: torch.dtype = torch.float32
) -> Family:
    """The model of a diffusers folder; safetensors files only, nothing is fetched.

    Raises UserError when a part does not load or lacks tensors.
    """
    kind = check_folder(folder)
    return kind.load_function()(LoadRequest(folder, name or folder.name, device, dtype, FULL))
