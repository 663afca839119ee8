"""Stable Diffusion XL's files, from the parts of a tiny one, opened by diffusers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from engine.families.quiet import quiet_libraries
from engine.files.pending import save_pending
from engine.results.exports.base_facts import BaseFacts
from engine.results.exports.checkpoint import checkpoint_tensors
from engine.results.exports.layouts import UnetShape
from engine.results.exports.loaded import Parts, parts_of
from engine.results.exports.lora_names import (
    kohya_tensors,
    layer_of,
    peft_tensors,
    published_weight,
)
from engine.results.exports.low_rank import LowRank
from engine.results.exports.pipeline_folder import write_pipeline
from engine.results.exports.small_files import bundled, embedding_tensors, lora_metadata, write_lora
from tests.families.ldm_layout import made
from tests.results.tiny_xl import WIDTHS, tiny_xl


@pytest.fixture(scope="module")
def parts(tiny_sdxl: Path) -> Parts:
    return parts_of(tiny_xl(tiny_sdxl))


@pytest.fixture(scope="module")
def facts(tiny_sdxl: Path) -> BaseFacts:
    unet = json.loads((tiny_sdxl / "unet" / "config.json").read_text())
    return BaseFacts(
        kind="sdxl", name="tiny", source="tiny", sha256="0" * 64, licence="MIT",
        v_prediction=False, resolution=64, shape=UnetShape.of(unet), text_widths=WIDTHS,
        words=49408,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xl")
    write_pipeline(folder, parts, ["teapot", "cat"], torch.float32, "0.42.1")
    return folder


def open_pipeline(folder: Path) -> Any:
    with quiet_libraries():
        return StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)


def draw(pipe: Any, prompt: str) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    return torch.from_numpy(
        pipe(
            prompt, num_inference_steps=2, generator=torch.Generator().manual_seed(0),
            output_type="np", height=64, width=64,
        ).images
    )  # fmt: skip


def random_lora(parts: Parts) -> dict[str, LowRank]:
    """Rank 2 for every layer of UNet and both text encoders."""
    generator = torch.Generator().manual_seed(0)
    models = {"unet": parts.unet, "text_encoder": parts.encoders[0].text_encoder,
              "text_encoder_2": parts.encoders[1].text_encoder}  # fmt: skip
    layers: dict[str, LowRank] = {}
    for component, model in models.items():
        for name, weight in model.named_parameters():
            layer = layer_of(f"{component}.{name}")
            if layer and weight.ndim > 1 and "text_projection" not in layer:
                ones = (1,) * (weight.ndim - 2)
                layers[layer] = LowRank(
                    torch.randn(2, *weight.shape[1:], generator=generator) * 0.1,
                    torch.randn(len(weight), 2, *ones, generator=generator) * 0.1,
                )
    return layers


def test_a_folder_with_the_tokens_in_both_tokenizers(parts: Parts, folder: Path) -> None:
    pipe = open_pipeline(folder)
    for encoder, tokenizer, model in zip(
        parts.encoders,
        (pipe.tokenizer, pipe.tokenizer_2),
        (pipe.text_encoder, pipe.text_encoder_2),
        strict=True,
    ):
        ids = tokenizer("a <asset1> and <cat>").input_ids
        assert ids[2] == ids[4] - 2 == len(encoder.tokenizer) - 1
        rows = model.get_input_embeddings().weight
        assert torch.equal(rows[ids[2]], rows[ids[4]])
        assert torch.equal(rows[ids[2]], encoder.text_encoder.get_input_embeddings()
                           .placeholder_rows[1])  # fmt: skip
        prompt = encoder.tokenizer("a <asset1>", return_tensors="pt").input_ids
        with torch.no_grad():
            own, theirs = encoder.text_encoder(prompt), model(prompt)
        assert torch.equal(own.last_hidden_state, theirs.last_hidden_state)
    assert torch.equal(draw(pipe, "a <asset0>"), draw(pipe, "a <teapot>"))
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLPipeline"


def test_a_single_file_holds_every_weight(
    parts: Parts, facts: BaseFacts, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "xl.safetensors"
    save_pending(path, checkpoint_tensors(parts, facts, torch.float32))
    config = tmp_path / "config"
    tokens = {}
    for number, encoder in enumerate(parts.encoders):
        # Without the learned rows: readers refuse a longer vocabulary.
        end = f"_{number + 1}" if number else ""
        part = config / f"text_encoder{end}"
        part.mkdir(parents=True)
        values = json.loads((folder / f"text_encoder{end}" / "config.json").read_text())
        rows = parts.text_tensors(number, with_tokens=False)
        size = next(t.shape[0] for name, t in rows.items() if "token_embedding" in name)
        (part / "config.json").write_text(json.dumps(values | {"vocab_size": size}))
        tokens[f"tokenizer{end}"] = encoder.tokenizer
    for name in ("unet", "vae", "scheduler", "model_index.json"):
        (config / name).symlink_to(folder / name)
    with quiet_libraries():
        pipe: Any = StableDiffusionXLPipeline.from_single_file(
            str(path), config=str(config), local_files_only=True, **tokens
        )
    for own, theirs in ((parts.unet, pipe.unet), (parts.vae, pipe.vae)):
        loaded = theirs.state_dict()
        assert loaded.keys() == own.state_dict().keys()
        assert all(torch.equal(loaded[name], t) for name, t in own.state_dict().items())
    for index, theirs in enumerate((pipe.text_encoder, pipe.text_encoder_2)):
        own = made(parts.text_tensors(index, with_tokens=False))
        loaded = theirs.state_dict()
        assert loaded.keys() == own.keys()
        assert all(torch.equal(loaded[name], t) for name, t in own.items())


@pytest.mark.parametrize("naming", ["kohya", "peft"])
def test_both_namings_of_a_lora_change_the_weights_alike(
    parts: Parts, facts: BaseFacts, folder: Path, tmp_path: Path, naming: str
) -> None:
    layers = random_lora(parts)
    tensors = (
        kohya_tensors(layers, "sdxl", facts.shape) if naming == "kohya" else peft_tensors(layers)
    )
    metadata = lora_metadata(facts, layers, title="x", comment="", trigger_phrase="", created=0.0)
    write_lora(tmp_path / "x.safetensors", tensors, metadata)
    pipe = open_pipeline(folder)
    before = {
        name: {key: tensor.clone() for key, tensor in getattr(pipe, name).state_dict().items()}
        for name in ("unet", "text_encoder", "text_encoder_2")
    }
    with quiet_libraries():
        pipe.load_lora_weights(str(tmp_path / "x.safetensors"))
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    changes = {published_weight(f"{layer}.weight"): f.product() for layer, f in layers.items()}
    missing = set(changes)
    for component, weights in before.items():
        now = getattr(pipe, component).state_dict()
        for name, tensor in weights.items():
            full = published_weight(f"{component}.{name}")
            change = changes.get(full)
            if change is None:
                assert torch.equal(now[name], tensor), full
            else:
                torch.testing.assert_close(now[name], tensor + change, rtol=0, atol=1e-6)
                missing.discard(full)
    assert not missing


def test_embeddings_for_both_encoders(parts: Parts, folder: Path, tmp_path: Path) -> None:
    rows = [e.text_encoder.get_input_embeddings().placeholder_rows[:1] for e in parts.encoders]
    tensors = embedding_tensors([row.detach() for row in rows])
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "clip_l": (1, WIDTHS[0]), "clip_g": (1, WIDTHS[1])
    }  # fmt: skip
    assert set(bundled({}, {"my_teapot": [row.detach() for row in rows]})) == {
        "bundle_emb.my_teapot.clip_l", "bundle_emb.my_teapot.clip_g"
    }  # fmt: skip
    save_file(tensors, tmp_path / "my_teapot.safetensors")
    pipe = open_pipeline(folder)
    loaded = load_file(tmp_path / "my_teapot.safetensors")
    for key, end in (("clip_l", ""), ("clip_g", "_2")):
        pipe.load_textual_inversion(
            loaded[key], token="<new>", text_encoder=getattr(pipe, f"text_encoder{end}"),
            tokenizer=getattr(pipe, f"tokenizer{end}"),
        )  # fmt: skip
    assert torch.equal(draw(pipe, "a <new>"), draw(pipe, "a <asset0>"))
