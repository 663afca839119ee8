"""A CLIP text encoder and its tokenizer as files that readers of every age open.

transformers 5 saves the encoder's weights without `text_model.` in their names and the tokenizer as
`tokenizer.json` alone. transformers 4 and ComfyUI then run a text encoder with random weights, with
a warning only, and transformers 4 finds no tokenizer. Files with the older names serve both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from engine.files.pending import Pending, save_pending

PREFIX = "text_model."
PROJECTION = "text_projection."
MERGES_HEAD = "#version: 0.2"
PRIVATE = ("_name_or_path", "is_local", "local_files_only", "name_or_path")
"""Keys that say where something lay on the machine that wrote it."""


def published_name(name: str) -> str:
    """A text encoder's tensor name as every published file has it."""
    return name if name.startswith((PREFIX, PROJECTION)) else PREFIX + name


def bare_name(name: str) -> str:
    """The same without `text_model.`, whichever of the two `name` is."""
    return name.removeprefix(PREFIX)


def write_text_encoder(
    folder: Path, tensors: MutableMapping[str, Pending], config: Mapping[str, Any], class_name: str
) -> None:
    """Write `model.safetensors` and `config.json` of a text encoder; empties `tensors`.

    `config` is the model's own; the vocabulary's size is taken from the tensors. Half precision is
    how weights are stored, not how they must be computed with: read without a wish, they become
    float32 like the pipeline's other parts.
    """
    published = {published_name(name): tensors.pop(name) for name in tuple(tensors)}
    words = published[f"{PREFIX}embeddings.token_embedding.weight"].shape[0]
    save_pending(folder / "model.safetensors", published, {"format": "pt"})
    facts = {key: value for key, value in config.items() if key not in PRIVATE}
    facts |= {
        "architectures": [class_name],
        "vocab_size": words,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    write_json(folder / "config.json", facts)


def write_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Write a CLIPTokenizer, today's file and the older ones beside it."""
    tokenizer.save_pretrained(folder)
    complete_tokenizer(folder)


def complete_tokenizer(folder: Path) -> None:
    """Add `vocab.json`, `merges.txt` and `added_tokens.json` to a folder with a `tokenizer.json`.

    What the configuration says of the writing machine is taken out.
    """
    table = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = table["model"]
    write_json(folder / "vocab.json", model["vocab"], indent=None)
    # Both forms are in use: ["a", "b</w>"] and "a b</w>".
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(
        "\n".join([MERGES_HEAD, *merges]) + "\n", encoding="utf-8", newline="\n"
    )
    added = {
        token["content"]: token["id"]
        for token in table["added_tokens"]
        if token["content"] not in model["vocab"]
    }
    if added:
        write_json(folder / "added_tokens.json", added)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {key: value for key, value in config.items() if key not in PRIVATE})


def write_json(path: Path, table: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON file as the libraries do."""
    text = json.dumps(table, indent=indent, ensure_ascii=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")
