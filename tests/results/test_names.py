"""Names of layers in every layout, on the full-size models and without their weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.families.file_configs import CONFIGS
from engine.families.single_file import END, clip_tokenizer
from engine.results.exports.base_facts import Kind, kind_of
from engine.results.exports.layouts import UnetShape
from engine.results.exports.lora_names import (
    from_peft,
    kohya_rest,
    kohya_tensors,
    layer_of,
    peft_tensors,
)
from engine.results.exports.low_rank import LowRank
from engine.results.exports.trigger_words import stem_of, trigger_words

LAYERS = {"sd1": 354, "sd2": 420, "sdxl": 1059}
"""Linear and convolution layers of UNet and text encoders."""
SUMS = {
    "sd1": "e35566b602ec90bca96d9d627ef3c7615279be14bd5c9cf074bb773db1f2a9d8",
    "sd2": "02c20587142d0051d45d3e7a54a8e2a7165d6bc04282864f02cbeca18033d901",
    "sdxl": "4aa60cc276b01797c9c0b4e895e4696a71db916e3baf4ef4e94f049a666b0bf9",
}
"""Of the sorted kohya names, as this code wrote them when A1111's and ComfyUI's loaders took them
all: they notice a change, and know nothing by themselves. Names from elsewhere are in
`test_names_that_kohyas_scripts_give`."""


def config_of(kind: str) -> dict[str, Any]:
    return json.loads((CONFIGS / kind / "unet" / "config.json").read_text())


def models_of(kind: str) -> dict[str, nn.Module]:
    """The full-size models that a run may change, without storage."""
    encoders = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    with torch.device("meta"):
        models: dict[str, nn.Module] = {"unet": UNet2DConditionModel.from_config(config_of(kind))}
        for part, model in encoders.items():
            if (CONFIGS / kind / part).is_dir():
                config = CLIPTextConfig.from_pretrained(CONFIGS / kind / part)
                models[part] = model(config)
    return models


@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_of_the_full_size_models_has_its_names(kind: Kind) -> None:
    models = models_of(kind)
    named = {
        f"{component}.{name}": weight
        for component, model in models.items()
        for name, weight in model.named_parameters()
    }
    layers = {
        layer for name, weight in named.items() if weight.ndim > 1 and (layer := layer_of(name))
    }
    assert layers == {
        f"{component}.{name}"
        for component, model in models.items()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    assert len(layers) == LAYERS[kind] and kind_of(config_of(kind)) == kind
    shape = UnetShape.of(config_of(kind))
    thin = {layer: LowRank(torch.zeros(1, 2), torch.zeros(3, 1)) for layer in sorted(layers)}
    tensors = kohya_tensors(thin, kind, shape)
    names = sorted(name.removesuffix(".alpha") for name in tensors if name.endswith(".alpha"))
    assert len(names) == len(layers), "every layer has a name of its own"
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == SUMS[kind]
    assert all("." not in name for name in names)
    assert from_peft(peft_tensors(thin)).keys() == {
        name.removesuffix(".lora_A.weight") for name in peft_tensors(thin) if "lora_A" in name
    }


@pytest.mark.parametrize(
    ("kind", "layer", "name"),
    [
        ("sd1", "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
         "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
         "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"),
        ("sdxl", "unet.up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"),
        ("sdxl", "unet.up_blocks.1.upsamplers.0.conv", "lora_unet_output_blocks_5_2_conv"),
        ("sdxl", "unet.down_blocks.1.downsamplers.0.conv", "lora_unet_input_blocks_6_0_op"),
        ("sdxl", "unet.mid_block.resnets.1.time_emb_proj",
         "lora_unet_middle_block_2_emb_layers_1"),
        ("sdxl", "unet.add_embedding.linear_2", "lora_unet_label_emb_0_2"),
        ("sd2", "text_encoder.encoder.layers.3.mlp.fc1",
         "lora_te_text_model_encoder_layers_3_mlp_fc1"),
        ("sdxl", "text_encoder.text_model.encoder.layers.3.mlp.fc1",
         "lora_te1_text_model_encoder_layers_3_mlp_fc1"),
        ("sdxl", "text_encoder_2.text_model.encoder.layers.31.self_attn.out_proj",
         "lora_te2_text_model_encoder_layers_31_self_attn_out_proj"),
    ],
)  # fmt: skip
def test_names_that_kohyas_scripts_give(kind: Kind, layer: str, name: str) -> None:
    thin = {layer: LowRank(torch.zeros(4, 2), torch.zeros(3, 4))}
    tensors = kohya_tensors(thin, kind, UnetShape.of(config_of(kind)))
    assert list(tensors) == [f"{name}.{end}" for end in
                             ("lora_down.weight", "lora_up.weight", "alpha")]  # fmt: skip
    assert tensors[f"{name}.alpha"].item() == 4, "the rank, which makes strength 1"


def test_biases_and_norms_are_written_where_readers_take_them() -> None:
    shape = UnetShape.of(config_of("sd1"))
    rest = {
        "unet.conv_in.bias": torch.ones(1),
        "unet.down_blocks.0.resnets.0.norm1.weight": torch.ones(1),
        "unet.down_blocks.0.resnets.0.norm1.bias": torch.ones(1),
        "unet.conv_norm_out.weight": torch.ones(1),
        "unet.conv_norm_out.bias": torch.ones(1),
        "unet.conv_out.bias": torch.ones(1),
        "unet.mid_block.resnets.0.norm1.weight": torch.ones(1),
        "text_encoder.final_layer_norm.weight": torch.ones(1),
        "text_encoder.final_layer_norm.bias": torch.ones(1),
    }
    assert set(kohya_rest(rest, {"unet.conv_in"}, "sd1", shape)) == {
        "lora_unet_conv_in.diff_b",
        "lora_unet_down_blocks_0_resnets_0_norm1.w_norm",
        "lora_unet_down_blocks_0_resnets_0_norm1.b_norm",
        "lora_unet_out_0.w_norm",
        "lora_unet_out_0.b_norm",
    }


def test_words_never_stand_for_others() -> None:
    tokenizer = clip_tokenizer(END)

    def is_word(word: str) -> bool:
        return len(tokenizer(word, add_special_tokens=False).input_ids) == 1

    def words(*names: str) -> tuple[str, ...]:
        return trigger_words("kitchen", names, is_word)

    assert words("teapot", "zorbl") == ("kitchen_teapot", "zorbl")
    assert words("red_car", "Red Car") == ("kitchen_red_car", "kitchen_red_car_2")
    assert words("théière", "чайник") == ("theiere", "kitchen_thing_1")
    assert stem_of("teapot-penguin-1128-184126") == "teapot_penguin"
    assert stem_of("x-0102-030405-2", "My Kitchen!") == "my_kitchen"
    assert stem_of("0102") == "0102" and stem_of("чайник") == "bas"
