"""A diffusers pipeline folder that `from_pretrained` opens with the learned tokens in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler

from engine.files.pending import Pending, save_pending
from engine.results.exports.clip_files import (
    PRIVATE,
    write_json,
    write_text_encoder,
    write_tokenizer,
)
from engine.results.exports.loaded import EMBEDDING, Encoder, Parts

WEIGHTS = "diffusion_pytorch_model.safetensors"
CLASSES = {1: "StableDiffusionPipeline", 2: "StableDiffusionXLPipeline"}


def write_pipeline(
    folder: Path, parts: Parts, names: Sequence[str], dtype: torch.dtype, diffusers_version: str
) -> None:
    """Write every part in `dtype`; raises OSError where the disk does not take it.

    The tokenizers know each concept twice, as `<assetK>` and as `<name>`, with equal rows. The
    scheduler is the one that `bas gen` draws with, so equal seeds draw equal pictures.
    """
    index: dict[str, Any] = {
        "_class_name": CLASSES[len(parts.encoders)],
        "_diffusers_version": diffusers_version,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        **parts.settings,
    }
    if len(parts.encoders) == 1:
        index |= {"safety_checker": [None, None], "requires_safety_checker": False}
    for number, encoder in enumerate(parts.encoders):
        ending = f"_{number + 1}" if number else ""
        class_name = type(encoder.text_encoder).__name__
        tensors = parts.text_tensors(number, with_tokens=True)
        _write_encoder(folder, ending, encoder, tensors, names, dtype, class_name)
        index[f"text_encoder{ending}"] = ["transformers", class_name]
        index[f"tokenizer{ending}"] = ["transformers", "CLIPTokenizer"]
    _write_model(folder / "vae", parts.vae, parts.vae_tensors(), dtype)
    # Last, for pages of its file stay in memory beside whatever is made after it.
    _write_model(folder / "unet", parts.unet, parts.unet_tensors(), dtype)
    scheduler: Any = DDIMScheduler.from_config(parts.scheduler_config, clip_sample=False)
    scheduler.save_pretrained(folder / "scheduler")
    for path in folder.glob("*/*config.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in facts.items() if key not in PRIVATE})
    write_json(folder / "model_index.json", index)


def _write_model(folder: Path, model: Any, tensors: dict[str, Pending], dtype: torch.dtype) -> None:
    model.save_config(folder)
    in_dtype = {name: tensors.pop(name).to(dtype) for name in tuple(tensors)}
    save_pending(folder / WEIGHTS, in_dtype, {"format": "pt"})


def _write_encoder(
    folder: Path,
    ending: str,
    encoder: Encoder,
    tensors: dict[str, Pending],
    names: Sequence[str],
    dtype: torch.dtype,
    class_name: str,
) -> None:
    matrix = next(name for name in tensors if name.endswith(f"{EMBEDDING}weight"))
    tokenizer = copy.deepcopy(encoder.tokenizer)
    first = tensors[matrix].shape[0] - len(names)
    # A concept may be called asset0 itself.
    again = [
        first + index for index, name in enumerate(names) if tokenizer.add_tokens([f"<{name}>"])
    ]
    tensors[matrix] = tensors[matrix].then(lambda rows_VD: torch.cat([rows_VD, rows_VD[again]]))
    config = json.loads(encoder.text_encoder.config.to_json_string())
    write_text_encoder(
        folder / f"text_encoder{ending}",
        {name: tensors.pop(name).to(dtype) for name in tuple(tensors)},
        config | {"eos_token_id": tokenizer.eos_token_id},
        class_name,
    )
    write_tokenizer(folder / f"tokenizer{ending}", tokenizer)
