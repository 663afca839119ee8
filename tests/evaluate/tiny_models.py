"""CLIP, DINO and MaskFormer with random weights, written as folders like those of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    DetrConfig,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessorPil,
    SwinConfig,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from tests.tiny import tiny_tokenizer

LABELS = {0: "teapot", 1: "toy bear", 2: "dining table-merged", 3: "dog"}


def build_hub_models(root: Path) -> dict[str, str]:
    """Write the three; their folders by the names that `bas eval run --scorer` takes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _clip(root / "clip")
        _dino(root / "dino")
        _maskformer(root / "maskformer")
    return {name: str(root / name) for name in ("clip", "dino", "maskformer")}


def _clip(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    small: dict[str, Any] = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "projection_dim": 16,
    }  # fmt: skip
    text = {
        **small, "vocab_size": len(tokenizer), "max_position_embeddings": 24,
        "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {**small, "image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)


def _dino(folder: Path) -> None:
    config = ViTConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def _maskformer(folder: Path) -> None:
    config = MaskFormerConfig(
        backbone_config=SwinConfig(
            image_size=32, patch_size=2, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1],
            window_size=2, out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        decoder_config=DetrConfig(
            d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16,
            encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, num_queries=5,
        ),
        fpn_feature_size=32, mask_feature_size=32, id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )  # fmt: skip
    MaskFormerForInstanceSegmentation(config).save_pretrained(folder)
    MaskFormerImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 64}, do_reduce_labels=False
    ).save_pretrained(folder)
