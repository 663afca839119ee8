"""A diffusers pipeline folder that `from_pretrained` opens with the learned tokens in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler

from engine.files.weights_io import save_tensors
from engine.results.exports.clip_files import (
    PRIVATE,
    write_json,
    write_text_encoder,
    write_tokenizer,
)
from engine.results.exports.loaded import EMBEDDING, Encoder, Parts, text_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"
CLASSES = {1: "StableDiffusionPipeline", 2: "StableDiffusionXLPipeline"}


def write_pipeline(
    folder: Path, parts: Parts, names: Sequence[str], dtype: torch.dtype, diffusers_version: str
) -> None:
    """Write every part in `dtype`; raises OSError where the disk does not take it.

    The tokenizers know each concept twice, as `<assetK>` and as `<name>`, with equal rows. The
    scheduler is the one that `bas gen` draws with, so equal seeds draw equal pictures.
    """
    for name, model in (("unet", parts.unet), ("vae", parts.vae)):
        _write_model(folder / name, model, dtype)
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
        _write_encoder(folder, ending, encoder, names, dtype, class_name)
        index[f"text_encoder{ending}"] = ["transformers", class_name]
        index[f"tokenizer{ending}"] = ["transformers", "CLIPTokenizer"]
    scheduler: Any = DDIMScheduler.from_config(parts.scheduler_config, clip_sample=False)
    scheduler.save_pretrained(folder / "scheduler")
    for path in folder.glob("*/*config.json"):
        facts = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in facts.items() if key not in PRIVATE})
    write_json(folder / "model_index.json", index)


def _write_model(folder: Path, model: Any, dtype: torch.dtype) -> None:
    model.save_config(folder)
    tensors = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    save_tensors(folder / WEIGHTS, tensors, {"format": "pt"})


def _write_encoder(
    folder: Path,
    ending: str,
    encoder: Encoder,
    names: Sequence[str],
    dtype: torch.dtype,
    class_name: str,
) -> None:
    tensors = text_tensors(encoder.text_encoder, with_tokens=True)
    matrix = next(name for name in tensors if name.endswith(f"{EMBEDDING}weight"))
    tokenizer = copy.deepcopy(encoder.tokenizer)
    first = len(tensors[matrix]) - len(names)
    for index, name in enumerate(names):
        # A concept may be called asset0 itself.
        if tokenizer.add_tokens([f"<{name}>"]):
            tensors[matrix] = torch.cat([tensors[matrix], tensors[matrix][first + index, None]])
    config = json.loads(encoder.text_encoder.config.to_json_string())
    write_text_encoder(
        folder / f"text_encoder{ending}",
        {name: tensor.to(dtype) for name, tensor in tensors.items()},
        config | {"eos_token_id": tokenizer.eos_token_id},
        class_name,
    )
    write_tokenizer(folder / f"tokenizer{ending}", tokenizer)
