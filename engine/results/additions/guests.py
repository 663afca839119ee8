"""Everything that a run is drawn with besides its own concepts, put into its model.

Shape legend: n vectors of a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from transformers import PreTrainedModel

from engine.adapters.lora import LowRankChange
from engine.core.errors import UserError
from engine.families.contract import Family
from engine.families.tokens import asset_token, input_rows
from engine.files.weights_io import load_tensors
from engine.models.additions import addition_header, bundled_embeddings, vocabulary
from engine.results.additions.embedding_file import Rows, read_bundled, read_embedding
from engine.results.additions.lora_file import LoraFile, read_lora
from engine.results.concepts import ROWS, add_change, placeholder_rows
from engine.results.exports.loaded import add_changes
from engine.runs.folder import RunDir, has_concepts
from engine.runs.manifest import ConceptEntry, Manifest
from engine.runs.requests import Addition, Additions


@dataclass(frozen=True, kw_only=True)
class Guests:
    """What was read of them; the model is still as it was."""

    concepts: tuple[ConceptEntry, ...]
    """The run's own things and those of other runs, tokens counting on."""
    words: Mapping[str, str]
    """`<style>` -> the tokens of its vectors."""
    rows: Sequence[Rows]
    """For the tokens behind the run's own: rows of each text encoder, (n, width) each."""
    files: Sequence[tuple[LoraFile, float]]
    runs: Sequence[tuple[RunDir, float]]

    def add_changes(self, family: Family) -> Iterator[LowRankChange]:
        """Change the model's weights; low-rank changes work by hooks and are given back."""
        for run, strength in self.runs:
            change = add_change(run.concepts, family, strength)
            if change is not None:
                yield change
        for file, strength in self.files:
            add_changes(family, {name: c * strength for name, c in file.weights.items()})
            change = LowRankChange.of(file.layers, family)
            change.strength = strength
            yield change


def read_guests(additions: Additions, manifest: Manifest, family: Family, base_hash: str) -> Guests:
    """Read all of them for a freshly loaded family; UserError for the first that does not fit."""
    encoders = cast(Sequence[PreTrainedModel], family.text.encoders) if additions else ()
    widths = [input_rows(encoder).shape[1] for encoder in encoders]
    runs = [(_other_run(one, base_hash), one.strength) for one in additions.others]
    rows: list[Rows] = []
    for run, _ in runs:
        tensors = load_tensors(run.concepts / ROWS)
        rows.append(tuple(placeholder_rows(tensors, len(widths))))
    concepts, names = vocabulary(manifest.concepts, additions)
    files: list[tuple[LoraFile, float]] = []
    vectors: list[Rows] = [read_embedding(Path(one.source), widths) for one in additions.embeddings]
    for one in additions.loras:
        path = Path(one.source)
        files.append((read_lora(path, family), one.strength))
        bundled = read_bundled(path, widths)
        vectors += [bundled[name] for name in bundled_embeddings(addition_header(path))]
    words: dict[str, str] = {}
    first = len(concepts)
    for name, one in zip(names, vectors, strict=True):
        count = len(one[0])
        words[f"<{name}>"] = " ".join(asset_token(first + index) for index in range(count))
        rows.append(one)
        first += count
    return Guests(concepts=concepts, words=words, rows=rows, files=files, runs=runs)


def _other_run(addition: Addition, base_hash: str) -> RunDir:
    """The run; UserError where it has learned nothing yet, or on another base model."""
    run = RunDir(Path(addition.source))
    if not has_concepts(run.concepts):
        raise UserError(f"{run.name} has no concepts yet", f"let it train: bas resume {run.name}")
    record = json.loads((run.concepts / "concepts.json").read_text(encoding="utf-8"))
    if record["base_hash"] != base_hash:
        raise UserError(
            f"{run.name} was learned on another base model ({record['base']})",
            "things of several runs can be drawn together on one base model only",
        )
    return run
