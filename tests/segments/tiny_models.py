"""Segmentation models of transformers with random weights, each as the folder that a hub has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Sam2Config,
    Sam2Model,
    Sam3Config,
    Sam3Model,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    SamConfig,
    SamModel,
    SwinConfig,
)
from transformers.models.clipseg import CLIPSegTextConfig, CLIPSegVisionConfig

from tests.tiny import WORDS, tiny_tokenizer

PROMPTS = {"hidden_size": 16, "image_size": 64, "mask_input_channels": 4}
DECODER = {
    "hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "num_hidden_layers": 2,
    "iou_head_hidden_dim": 16,
}  # fmt: skip


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def tiny_sam(folder: Path) -> Path:
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "image_size": 64,
        "num_attention_heads": 2, "patch_size": 16, "mlp_dim": 16, "window_size": 2,
        "global_attn_indexes": [0], "num_pos_feats": 8,
    }  # fmt: skip
    config = SamConfig(
        vision_config=vision,
        prompt_encoder_config={**PROMPTS, "patch_size": 16, "image_embedding_size": 4},
        mask_decoder_config=DECODER,
    )
    return save(SamModel(config), folder)


def tiny_sam2(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [64, 64],
        "blocks_per_stage": [1, 2, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [2],
    }  # fmt: skip
    config = Sam2Config(
        vision_config={
            "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 16,
        },
        prompt_encoder_config=PROMPTS,
        mask_decoder_config=DECODER,
    )  # fmt: skip
    return save(Sam2Model(config), folder)


def _sam3_vision() -> dict[str, Any]:
    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56, "patch_size": 14,
        "window_size": 2, "global_attn_indexes": [0], "pretrain_image_size": 56,
    }  # fmt: skip
    sizes = [[16, 16], [8, 8], [4, 4]]
    return {"backbone_config": backbone, "fpn_hidden_size": 16, "backbone_feature_sizes": sizes}


def tiny_sam3_clicks(folder: Path) -> Path:
    torch.manual_seed(0)
    config = Sam3TrackerConfig(
        vision_config={"model_type": "sam3_vision_model", **_sam3_vision()},
        prompt_encoder_config={**PROMPTS, "image_size": 56, "patch_size": 14},
        mask_decoder_config=DECODER,
    )
    return save(Sam3TrackerModel(config), folder)


def tiny_sam3(folder: Path) -> Path:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    tokenizer = tiny_tokenizer()
    text = {
        "model_type": "clip_text_model", "hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
        "projection_dim": 16, "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    config = Sam3Config(
        vision_config={"model_type": "sam3_vision_model", **_sam3_vision()},
        text_config=text,
        geometry_encoder_config={**small, "num_layers": 1},
        detr_encoder_config={**small, "num_layers": 1},
        detr_decoder_config={**small, "num_layers": 1, "num_queries": 5},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )
    tokenizer.save_pretrained(folder)
    return save(Sam3Model(config), folder)


def tiny_clipseg(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    small: dict[str, Any] = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer), "max_position_embeddings": 16,
        "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id,
    }  # fmt: skip
    config = CLIPSegConfig(
        text_config=CLIPSegTextConfig(**small, **text).to_dict(),
        vision_config=CLIPSegVisionConfig(**small, image_size=64, patch_size=16).to_dict(),
        projection_dim=16, extract_layers=[0, 1], reduce_dim=16, decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return save(CLIPSegForImageSegmentation(config), folder)


def tiny_grounding_dino(folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = {
        "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 64,
    }  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin.to_dict(), text_config=bert, d_model=32, num_queries=8,
        encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=16,
    )  # fmt: skip
    return save(GroundingDinoForObjectDetection(config), folder)


def of_type(folder: Path, model_type: str) -> Path:
    """A folder whose config.json says that it is another kind of model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder
