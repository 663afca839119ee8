"""The result of a run: token rows and weight changes, small enough to keep and to share.

`concepts/` holds `rows.safetensors` (placeholder and word rows of each text encoder),
`changes.safetensors` or `lora.safetensors` (what the adapter changed), and `concepts.json` (tokens,
names, base model and its hash).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.adapters import lora
from engine.adapters.full import apply_change
from engine.core.errors import BasError, UserError
from engine.families.contract import Family
from engine.files.atomic import new_folder
from engine.files.weights_io import load_tensors, save_tensors
from engine.runs.folder import has_concepts
from engine.runs.manifest import ConceptEntry

FORMAT = 1
ROWS = "rows.safetensors"


def concept_rows(family: Family) -> dict[str, torch.Tensor]:
    """Copies of the token rows as they are now, in main memory."""
    rows: dict[str, torch.Tensor] = {}
    for index, embedding in enumerate(family.text.embeddings()):
        ending = _ending(index)
        rows[f"placeholder_rows{ending}"] = embedding.placeholder_rows.float()
        rows[f"word_rows{ending}"] = embedding.word_rows.float()
        # Every tokenizer cuts alike, so the words' ids are the same in all of them.
        rows["word_ids"] = embedding.word_ids
    return {name: value.detach().to("cpu", copy=True) for name, value in rows.items()}


def save_concepts(
    folder: Path,
    rows: Mapping[str, torch.Tensor],
    write_change: Callable[[Path], None],
    *,
    concepts: Sequence[ConceptEntry],
    base: str,
    base_hash: str,
    step: int,
    recipe: Mapping[str, Any],
) -> None:
    """Write the concepts: `rows` (`concept_rows`), and what `write_change` puts beside them."""
    with new_folder(folder) as temporary:
        save_tensors(temporary / ROWS, rows)
        write_change(temporary)
        record = {
            "format": FORMAT,
            "base": base,
            "base_hash": base_hash,
            "step": step,
            "concepts": [vars(concept) for concept in concepts],
            "recipe": dict(recipe),
        }
        (temporary / "concepts.json").write_text(json.dumps(record, indent=1))


def load_concepts(
    folder: Path,
    family: Family,
    *,
    base_hash: str = "",
    strength: float = 1.0,
    more_rows: Sequence[Sequence[torch.Tensor]] = (),
) -> lora.LowRankChange | None:
    """Put the concepts into a freshly loaded base model, their weight change `strength` times.

    A low-rank change is returned: its strength can be set anew at any time. Raises UserError when
    the folder holds no concepts or belongs to another base model (`load_rows`).
    """
    load_rows(folder, family, base_hash=base_hash, more_rows=more_rows)
    return add_change(folder, family, strength)


def load_rows(
    folder: Path,
    family: Family,
    *,
    base_hash: str = "",
    more_rows: Sequence[Sequence[torch.Tensor]] = (),
) -> None:
    """Teach a freshly loaded base model the words alone: tokens and trained words.

    `more_rows`: rows of each text encoder for further tokens, (n, width) each. Raises UserError
    when the folder holds no concepts or belongs to another base model.
    """
    if not has_concepts(folder):
        raise UserError("this run has no concepts yet", "let it train to its end: bas resume RUN")
    record = json.loads((folder / "concepts.json").read_text())
    if base_hash and record["base_hash"] and record["base_hash"] != base_hash:
        raise UserError(
            f"these concepts were learned on another {record['base']}",
            "generate with the base model of the run",
        )
    rows = load_tensors(folder / ROWS)
    word_ids: list[int] = rows["word_ids"].tolist()
    try:
        everyone = [placeholder_rows(rows, len(family.text.encoders)), *more_rows]
        family.text.add_tokens(
            [torch.cat(list(of_one)) for of_one in zip(*everyone, strict=True)], word_ids
        )
        with torch.no_grad():
            for index, embedding in enumerate(family.text.embeddings()):
                embedding.word_rows.copy_(rows[f"word_rows{_ending(index)}"])
    except (KeyError, RuntimeError) as error:
        raise BasError(
            f"the concepts do not fit this base model ({error})",
            "generate with the base model of the run",
        ) from error


def add_change(folder: Path, family: Family, strength: float = 1.0) -> lora.LowRankChange | None:
    """Only the weight change of a folder of concepts, `strength` times; a low-rank one is returned.

    Raises BasError where it does not fit.
    """
    try:
        apply_change(folder, family, strength)
    except (KeyError, RuntimeError) as error:
        raise BasError(
            f"the concepts do not fit this base model ({error})",
            "generate with the base model of the run",
        ) from error
    if not (folder / lora.FILE).is_file():
        return None
    change = lora.LowRankChange.load(folder / lora.FILE, family)
    change.strength = strength
    return change


def placeholder_rows(rows: Mapping[str, torch.Tensor], encoders: int) -> list[torch.Tensor]:
    """The concepts' rows of each text encoder, (N, width) each; KeyError where one lacks them."""
    return [rows[f"placeholder_rows{_ending(index)}"] for index in range(encoders)]


def _ending(index: int) -> str:
    """Of the names of the rows of text encoder `index`."""
    return f"_{index + 1}" if index else ""
