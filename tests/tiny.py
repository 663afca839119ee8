"""Real pipelines with random weights, one a family, small enough for a step in milliseconds.

Stable Diffusion: 64 px pictures, latents of 16x16 (f = 4), cross-attention of the UNet on 16x16
(down and up block) and on 8x8 (middle block), a two-layer CLIP text encoder of width 32, and a
byte-pair tokenizer in which the words of the tests' prompts are one token each. Stable Diffusion
XL: the same with cross-attention on 8x8 and 4x4 and two text encoders, of widths 16 and 32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 24
WIDTH = 32
WORDS = [
    *("a", "an", "photo", "of", "and", "at", "the", "in", "on", "with", "red", "blue", "green"),
    *("beach", "snow", "jungle", "street", "background", "teapot", "penguin", "cat", "dog", "bear"),
    *("bowl", "stone", "creature", "thing", "toy"),
]


def build_tiny_pipeline(
    folder: Path, *, v_prediction: bool = False, seed: int = 0, size: int = 64
) -> Path:
    """Write the pipeline as a diffusers folder of fp32 safetensors and return the folder.

    `size` is the native side of a picture in pixels, a multiple of 8; equal seeds give equal
    weights. The global random generator is left as it was.
    """
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae, text_encoder = _unet(size // 4), _vae(size), _text_encoder(tokenizer)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction" if v_prediction else "epsilon",
    )
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    text_encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return folder


def build_tiny_sdxl(folder: Path, *, seed: int = 0, size: int = 64) -> Path:
    """Write a Stable Diffusion XL pipeline as `build_tiny_pipeline` does the other."""
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = _unet_xl(size // 4), _vae(size)
        encoders: dict[str, Any] = {
            "text_encoder": _text_encoder(tokenizer, width=16),
            "text_encoder_2": _text_encoder(tokenizer, CLIPTextModelWithProjection, act="gelu"),
        }
    for name, part in encoders.items():
        part.save_pretrained(folder / name)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    tokenizer.save_pretrained(folder / "tokenizer")
    tiny_tokenizer(pad="!").save_pretrained(folder / "tokenizer_2")
    EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        timestep_spacing="leading",
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.42.1",
        "force_zeros_for_empty_prompt": True,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return folder


def build_tiny_toy(folder: Path) -> Path:
    """Write the tiny pipeline with a narrower text encoder and a bridge (`toy_family`)."""
    build_tiny_pipeline(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        bridge = torch.nn.Linear(16, WIDTH)
        _text_encoder(tiny_tokenizer(), width=16).save_pretrained(folder / "text_encoder")
    (folder / "bridge").mkdir()
    save_file(bridge.state_dict(), folder / "bridge" / "model.safetensors")
    (folder / "bridge" / "config.json").write_text("{}")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "ToyPipeline", "bridge": ["toy", "Linear"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def tiny_tokenizer(pad: str = END) -> CLIPTokenizer:
    """CLIP's own tokenizer with merges for WORDS; any other word falls into its bytes."""
    alphabet = sorted(ByteLevel.alphabet())
    pieces = [*alphabet, *(byte + "</w>" for byte in alphabet)]
    merges: list[Any] = []
    for word in WORDS:
        symbols = [*word[:-1], word[-1] + "</w>"]
        # Merges apply in the order of the list, so a word is first cut as earlier words demand.
        for left, right in merges:
            symbols = _merged(symbols, left, right)
        while len(symbols) > 1:
            merges.append((symbols[0], symbols[1]))
            symbols = _merged(symbols, symbols[0], symbols[1])
            if symbols[0] not in pieces:
                pieces.append(symbols[0])
    vocabulary = {piece: index for index, piece in enumerate([*pieces, START, END])}
    build: Any = CLIPTokenizer
    return build(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS, pad_token=pad)


def _merged(symbols: list[str], left: str, right: str) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and merged[-1] == left and symbol == right:
            merged[-1] = left + right
        else:
            merged.append(symbol)
    return merged


# diffusers and transformers annotate these constructors more narrowly than what they accept.
def _unet(latent_size: int) -> UNet2DConditionModel:
    build: Any = UNet2DConditionModel
    return build(
        sample_size=latent_size,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=WIDTH,
    )


def _unet_xl(latent_size: int) -> UNet2DConditionModel:
    build: Any = UNet2DConditionModel
    return build(
        sample_size=latent_size,
        block_out_channels=(8, 16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(1, 2, 4),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=16 + WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )


def _vae(size: int) -> AutoencoderKL:
    build: Any = AutoencoderKL
    return build(
        sample_size=size,
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )


def _text_encoder(
    tokenizer: CLIPTokenizer, model: Any = CLIPTextModel, *, width: int = WIDTH,
    act: str = "quick_gelu",
) -> Any:  # fmt: skip
    configure: Any = CLIPTextConfig
    return model(
        configure(
            vocab_size=len(tokenizer),
            hidden_size=width,
            hidden_act=act,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
