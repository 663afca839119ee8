"""Loads a whole model from one `.safetensors` file in the original (LDM) layout, offline.

The shapes come from the JSON files of `configs/`, the tokenizer from CLIP's merges beside them. A
folder `NAME/` with a `model_index.json` beside `NAME.safetensors` replaces both.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from engine.core.errors import UserError
from engine.families.quiet import StableDiffusionPipeline, first_line, quiet_libraries
from engine.families.stable_diffusion import StableDiffusion
from engine.models.detection import SingleFile, check_file, configs_beside

CONFIGS = Path(__file__).parent / "configs"
START, END = "<|startoftext|>", "<|endoftext|>"
PAD = {1: END, 2: "!"}
"""Stable Diffusion 2.x was trained with OpenCLIP's padding by id 0."""


def load_single_file(
    path: Path, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> StableDiffusion:
    """The model of a single file; raises UserError when its shapes are not those expected.

    Without a configuration beside the file, the prediction type is the one in the file's
    metadata, else epsilon.
    """
    told = check_file(path)
    beside = configs_beside(path)
    configs = beside or CONFIGS / f"sd{told.version}"
    own_tokenizer = beside is not None and (beside / "tokenizer").is_dir()
    tokenizer = (
        CLIPTokenizer.from_pretrained(configs, subfolder="tokenizer", local_files_only=True)
        if own_tokenizer
        else clip_tokenizer(PAD[told.version])
    )
    with quiet_libraries():
        try:
            pipeline: Any = StableDiffusionPipeline.from_single_file(
                str(path),
                config=str(configs),
                local_files_only=True,
                torch_dtype=dtype,
                tokenizer=tokenizer,
                safety_checker=None,
                feature_extractor=None,
            )
        except NotImplementedError as error:
            raise _incomplete(path) from error
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} does not load as Stable Diffusion {told.version}.x ({first_line(error)})",
                f"put a folder {path.stem}/ with the model's JSON configuration beside it",
            ) from error
    # Tensors that the file lacks stay without storage; diffusers notices only some of them.
    models = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    if any(parameter.is_meta for model in models for parameter in model.parameters()):
        raise _incomplete(path)
    scheduler_config = dict(pipeline.scheduler.config)
    if beside is None:
        _apply(told, pipeline.unet, scheduler_config)
    return StableDiffusion(
        name=path.stem,
        unet=pipeline.unet,
        text_encoder=pipeline.text_encoder,
        tokenizer=tokenizer,
        vae=pipeline.vae,
        scheduler_config=scheduler_config,
        device=device,
    )


def clip_tokenizer(pad: str) -> CLIPTokenizer:
    """CLIP's tokenizer of 49408 entries, built from its merges; `pad` is its padding token."""
    # In order of code points the byte characters have the ids that CLIP gave them.
    alphabet = sorted(ByteLevel.alphabet())
    with lzma.open(CONFIGS / "clip_merges.txt.xz", "rt", encoding="utf-8") as lines:
        pairs = [tuple(line.split()) for line in lines]
    pieces = [*alphabet, *(byte + "</w>" for byte in alphabet), *map("".join, pairs), START, END]
    build: Any = CLIPTokenizer
    return build(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=pairs,
        pad_token=pad,
        model_max_length=77,
    )


def _incomplete(path: Path) -> UserError:
    return UserError(f"{path} lacks tensors of the model", "copy or download it again")


def _apply(told: SingleFile, unet: Any, scheduler_config: dict[str, Any]) -> None:
    """Put what the file's metadata says into the configurations."""
    if told.prediction:
        scheduler_config["prediction_type"] = told.prediction
    if told.resolution:
        unet.register_to_config(sample_size=told.resolution // 8)
