"""Loads a base model: a name, a diffusers folder, a single safetensors file, or a hub id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from engine.core.errors import UserError
from engine.families.quiet import first_line, quiet_libraries
from engine.families.single_file import load_single_file
from engine.families.stable_diffusion import StableDiffusion
from engine.models.detection import folder_weights
from engine.models.resolve import resolve
from engine.runs.events import Event, Progress

Report = Callable[[Event], None]


class LoadedBase(NamedTuple):
    """A base model in memory, and where it came from."""

    family: StableDiffusion
    base_hash: str
    """sha256 of the UNet's weights: its file, its shards in order, or the whole single file."""
    source: str
    """The repository or path it was read from."""
    licence: str
    """Empty where nothing says it."""


def load_family(
    base: str, *, device: torch.device, dtype: torch.dtype = torch.float32, report: Report
) -> LoadedBase:
    """The base model that `base` names (`engine.models.names.check_base`), fetched if need be.

    Half-precision weights are loaded as `dtype`. Reports progress of the stages `download` and
    `load`, and as notices what was chosen. Raises UserError for everything a person can mend: no
    such model, wrong kind or hash, no network.
    """
    found = resolve(base, report)
    report(Progress(stage="load", done=0, total=0, label=found.name))
    if found.path.is_dir():
        family = load_folder(found.path, device=device, name=found.name, dtype=dtype)
    else:
        family = _in_own_memory(load_single_file(found.path, device=device, dtype=dtype))
    report(Progress(stage="load", done=1, total=1, label=found.name))
    return LoadedBase(family, found.sha256, found.source, found.licence)


def load_folder(
    folder: Path, *, device: torch.device, name: str = "", dtype: torch.dtype = torch.float32
) -> StableDiffusion:
    """The model of a diffusers folder; safetensors files only, nothing is fetched.

    Raises UserError when a part does not load or lacks tensors.
    """
    with quiet_libraries():
        vae = _part(AutoencoderKL, folder, "vae", torch_dtype=dtype)
        unet = _part(UNet2DConditionModel, folder, "unet", torch_dtype=dtype)
        text_encoder = _part(CLIPTextModel, folder, "text_encoder", dtype=dtype)
        try:
            tokenizer = CLIPTokenizer.from_pretrained(
                folder, subfolder="tokenizer", local_files_only=True
            )
            scheduler = DDIMScheduler.from_pretrained(
                folder, subfolder="scheduler", local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _broken(folder, error) from error
    return _in_own_memory(
        StableDiffusion(
            name=name or folder.name,
            unet=unet,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            vae=vae,
            scheduler_config=dict(scheduler.config),
            device=device,
        )
    )


def _in_own_memory(family: StableDiffusion) -> StableDiffusion:
    """The family with no weight left in a mapped file.

    A mapped weight lies where the file has it, and the last bits of CPU kernels depend on that
    alignment: the same weights would give other results from another file. A file that changes on
    disk could not harm a run either.
    """
    for model in (*family.targets.networks.values(), family.codec.vae):
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.device.type == "cpu":
                tensor.data = tensor.data.clone()
    return family


def _part(model: Any, folder: Path, component: str, **dtype: torch.dtype) -> Any:
    """One component with all its tensors: the libraries fill gaps with random values."""
    try:
        loaded, told = model.from_pretrained(
            folder,
            subfolder=component,
            variant=folder_weights(folder, component).variant or None,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **dtype,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _broken(folder / component, error) from error
    if told["missing_keys"]:
        raise UserError(
            f"{folder / component} lacks tensors of the model ({min(told['missing_keys'])} ...)",
            "copy or download it again",
        )
    return loaded


def _broken(folder: Path, error: Exception) -> UserError:
    return UserError(f"{folder} does not load ({first_line(error)})", "copy or download it again")
