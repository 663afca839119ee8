"""Text encoders and tokenizers as files that older readers open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from engine.files.pending import pending
from engine.models.headers import read_header
from engine.pocket import MODEL_DIR
from engine.results.exports.clip_files import write_text_encoder, write_tokenizer
from tests.tiny import tiny_tokenizer

PROMPT = "a photo of<asset0> and a red toy, in SNOW <asset1>"


def from_older_files(folder: Path, there: Path) -> CLIPTokenizer:
    """The tokenizer of a folder without today's `tokenizer.json`."""
    shutil.copytree(folder, there)
    (there / "tokenizer.json").unlink()
    return CLIPTokenizer.from_pretrained(there, local_files_only=True)


def test_a_tokenizer_with_placeholders_opens_from_its_older_files(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<asset0>", "<asset1>"])
    write_tokenizer(tmp_path / "new", tokenizer)
    added = json.loads((tmp_path / "new" / "added_tokens.json").read_text())
    assert added == {"<asset0>": len(tokenizer) - 2, "<asset1>": len(tokenizer) - 1}
    older = from_older_files(tmp_path / "new", tmp_path / "old")
    assert older(PROMPT).input_ids == tokenizer(PROMPT).input_ids
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only", "name_or_path"} & config.keys()


def test_a_text_encoder_gets_the_published_names(tiny_pipeline: Path, tmp_path: Path) -> None:
    encoder = CLIPTextModel.from_pretrained(tiny_pipeline / "text_encoder")
    config = json.loads(encoder.config.to_json_string())
    write_text_encoder(tmp_path, pending(encoder.state_dict()), config, "CLIPTextModel")
    names = load_file(tmp_path / "model.safetensors").keys()
    assert all(name.startswith("text_model.") for name in names)
    assert read_header(tmp_path / "model.safetensors").metadata == {"format": "pt"}
    again, told = CLIPTextModel.from_pretrained(tmp_path, output_loading_info=True)  # type: ignore[misc]
    assert not told["missing_keys"] and not told["unexpected_keys"]
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_embedded_model_opens_elsewhere(tmp_path: Path) -> None:
    names = read_header(MODEL_DIR / "text_encoder" / "model.safetensors").shapes
    assert all(name.startswith("text_model.") for name in names)
    today = CLIPTokenizer.from_pretrained(MODEL_DIR / "tokenizer", local_files_only=True)
    older = from_older_files(MODEL_DIR / "tokenizer", tmp_path / "old")
    for prompt in ("a photo of a red teapot and a DOG in the snow", "it's  zürich, 42 cats!"):
        assert older(prompt).input_ids == today(prompt).input_ids


@pytest.mark.parametrize(
    "path", sorted(MODEL_DIR.rglob("*config.json")), ids=lambda p: p.parent.name
)
def test_the_embedded_model_names_no_place(path: Path) -> None:
    assert (
        not {"_name_or_path", "is_local", "local_files_only"} & json.loads(path.read_text()).keys()
    )
