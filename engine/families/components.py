"""Loads the components of a diffusers folder: whole, from safetensors files, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import nn
from transformers import CLIPTokenizer

from engine.core.errors import UserError
from engine.families.quiet import first_line
from engine.models.headers import DAMAGED, read_header
from engine.models.weight_files import folder_weights

FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def load_part(
    model: Any,
    folder: Path,
    component: str,
    stem: str,
    variants: Sequence[str],
    **dtype: torch.dtype | None,
) -> Any:
    """One component with all its tensors: the libraries fill gaps with random values.

    `stem` begins the names of its weight files; `variants` are the precisions in the order they
    are wanted. A `dtype` of None is that of the files. Raises UserError when it does not load or
    lacks tensors.
    """
    try:
        files = folder_weights(folder, component, stem, variants)
        own = {
            key: stored_dtype(
                kind
                for file in files.files
                for kind in read_header(folder / component / file).dtypes.values()
            )
            for key, kept in dtype.items()
            if kept is None
        }
        loaded, told = model.from_pretrained(
            folder,
            subfolder=component,
            variant=files.variant or None,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **{**dtype, **own},
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise broken(folder / component, error) from error
    if told["missing_keys"]:
        raise UserError(
            f"{folder / component} lacks tensors of the model ({min(told['missing_keys'])} ...)",
            DAMAGED,
        )
    return loaded


def stored_dtype(kinds: Iterable[str]) -> torch.dtype:
    """The precision of tensors, by safetensors' names; float32, which holds all, for several."""
    floats = set(kinds) & FLOATS.keys()
    return FLOATS[floats.pop()] if len(floats) == 1 else torch.float32


def load_tokenizer(folder: Path, component: str = "tokenizer") -> CLIPTokenizer:
    """A tokenizer of the folder; raises UserError."""
    try:
        return CLIPTokenizer.from_pretrained(folder, subfolder=component, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise broken(folder / component, error) from error


def load_scheduler_config(folder: Path) -> dict[str, Any]:
    """The noise schedule of the folder, as a scheduler's configuration; raises UserError."""
    try:
        scheduler = DDIMScheduler.from_pretrained(
            folder, subfolder="scheduler", local_files_only=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise broken(folder, error) from error
    return dict(scheduler.config)


def scheduler_with(config: Mapping[str, Any], prediction: str) -> dict[str, Any]:
    """A scheduler's configuration with what a person says that the model predicts."""
    return {**config, **({"prediction_type": prediction} if prediction else {})}


def in_own_memory(models: Iterable[nn.Module]) -> None:
    """Leave no weight in a mapped file.

    A mapped weight lies where the file has it, and the last bits of CPU kernels depend on that
    alignment: the same weights would give other results from another file. A file that changes on
    disk could not harm a run either.
    """
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.device.type == "cpu":
                tensor.data = tensor.data.clone()


def broken(where: Path, error: Exception) -> UserError:
    """A library's failure as one line."""
    if isinstance(error, UserError):
        return error
    return UserError(f"{where} does not load ({first_line(error)})", DAMAGED)
