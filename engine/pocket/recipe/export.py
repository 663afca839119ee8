"""Writes the trained parts as a diffusers folder in half precision, files of at most 16 MiB."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from engine.files.pending import pending
from engine.results.exports.clip_files import write_text_encoder, write_tokenizer

FILE_SIZE = "15MB"

TRAINING = "training.json"
"""File beside the weights that says how many samples they have seen."""


def pipeline(
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    scheduler: DDIMScheduler,
) -> StableDiffusionPipeline:
    """Assemble the parts."""
    # diffusers' annotations of the constructor are narrower than what it accepts.
    build: Any = StableDiffusionPipeline
    pipe = build(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def export(pipe: StableDiffusionPipeline, folder: Path, samples: int) -> None:
    """Write a pipeline's weights in half precision; other files in ``folder`` stay.

    The parts load in single precision unless asked otherwise: half precision is how they are
    stored, not how a CPU computes.
    """
    for part in ("unet", "text_encoder", "vae"):
        for stale in (folder / part).glob("*.safetensors*"):
            stale.unlink()
    pipe.to(torch.float16)
    pipe.save_pretrained(folder, max_shard_size=FILE_SIZE, safe_serialization=True)
    text: Any = pipe.text_encoder
    facts = json.loads(text.config.to_json_string())
    tensors = pending(text.state_dict())
    write_text_encoder(folder / "text_encoder", tensors, facts, "CLIPTextModel")
    write_tokenizer(folder / "tokenizer", pipe.tokenizer)
    pipe.to(torch.float32)
    (folder / TRAINING).write_text(json.dumps({"samples": samples}) + "\n")
    for path in folder.rglob("*.json"):
        facts = json.loads(path.read_text())
        if not isinstance(facts, dict) or path.name in ("tokenizer.json", "vocab.json"):
            continue
        # Where the parts lay on the build machine is nobody's business.
        facts.pop("_name_or_path", None)
        if facts.get("dtype") == "float16":
            facts["dtype"] = "float32"
        path.write_text(json.dumps(facts, indent=2) + "\n")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


def size_mb(folder: Path) -> float:
    """Size of the weights in MB (10^6 bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
