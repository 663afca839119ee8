"""The result of a run: token rows and weight changes, small enough to keep and to share.

`concepts/` holds `rows.safetensors` (placeholder and word rows), `changes.safetensors` (trained
minus base weight, half precision: a change is small, so its own half precision is far finer than
a half-precision weight) and `concepts.json` (tokens, names, base model and its hash).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.core.errors import BasError, UserError
from engine.families.contract import Family
from engine.families.tokens import PlaceholderEmbedding, add_placeholders
from engine.files.atomic import new_folder
from engine.files.weights_io import load_tensors, save_tensors
from engine.runs.manifest import ConceptEntry

FORMAT = 1


def snapshot(parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Copies of the base weights that phase 2 is going to change, kept in main memory."""
    return {name: p.detach().cpu().clone() for name, p in parameters.items()}


def save_concepts(
    folder: Path,
    family: Family,
    *,
    concepts: Sequence[ConceptEntry],
    before: Mapping[str, torch.Tensor],
    base: str,
    base_hash: str,
    step: int,
    recipe: Mapping[str, Any],
) -> None:
    """Write the concepts; `before` holds the base values of every weight that was trained."""
    rows = family.text_encoder.get_input_embeddings()
    assert isinstance(rows, PlaceholderEmbedding)
    weights = family.weights()
    changes = {
        name: (weights[name].detach().cpu().float() - value.float()).half()
        for name, value in before.items()
    }
    with new_folder(folder) as temporary:
        save_tensors(
            temporary / "rows.safetensors",
            {
                "placeholder_rows": rows.placeholder_rows.float(),
                "word_rows": rows.word_rows.float(),
                "word_ids": rows.word_ids,
            },
        )
        if changes:
            save_tensors(temporary / "changes.safetensors", changes)
        record = {
            "format": FORMAT,
            "base": base,
            "base_hash": base_hash,
            "step": step,
            "concepts": [vars(concept) for concept in concepts],
            "recipe": dict(recipe),
        }
        (temporary / "concepts.json").write_text(json.dumps(record, indent=1))


def has_concepts(folder: Path) -> bool:
    """Whether a run has a result."""
    return (folder / "concepts.json").is_file()


def load_concepts(folder: Path, family: Family, *, base_hash: str = "") -> None:
    """Put the concepts into a freshly loaded base model.

    Raises UserError when the folder holds none or belongs to another base model.
    """
    if not has_concepts(folder):
        raise UserError("this run has no concepts yet", "let it train to its end: bas resume RUN")
    record = json.loads((folder / "concepts.json").read_text())
    if base_hash and record["base_hash"] and record["base_hash"] != base_hash:
        raise UserError(
            f"these concepts were learned on another {record['base']}",
            "generate with the base model of the run",
        )
    rows = load_tensors(folder / "rows.safetensors")
    word_ids: list[int] = rows["word_ids"].tolist()
    try:
        add_placeholders(family.tokenizer, family.text_encoder, rows["placeholder_rows"], word_ids)
        embedding = family.text_encoder.get_input_embeddings()
        assert isinstance(embedding, PlaceholderEmbedding)
        changes_file = folder / "changes.safetensors"
        changes = load_tensors(changes_file) if changes_file.is_file() else {}
        weights = family.weights()
        with torch.no_grad():
            embedding.word_rows.copy_(rows["word_rows"])
            for name, change in changes.items():
                weights[name].add_(change.to(weights[name]))
    except (KeyError, RuntimeError) as error:
        raise BasError(
            f"the concepts do not fit this base model ({error})",
            "generate with the base model of the run",
        ) from error
