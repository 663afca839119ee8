"""What an import found, whatever it was found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.core.errors import UserError
from engine.files.weights_io import save_tensors
from engine.results.concepts import save_concepts
from engine.results.exports.pack import CONCEPT_NAME
from engine.runs.manifest import ConceptEntry


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What run.toml and the log say of an import; the tensors are in the run folder by then."""

    base: str
    base_hash: str
    concepts: tuple[ConceptEntry, ...]
    settings: dict[str, Any]
    step: int = 0
    method: str = "break-a-scene"
    scene_hash: str = ""
    preview: str = ""
    """Relative to the run folder."""
    preview_prompt: str = ""


def named(found: Sequence[str], names: Sequence[str], source: str) -> tuple[str, ...]:
    """The things' names: `names` in their order where a person gave some, else as they are `found`.

    Raises UserError where they are not one for each thing, all different, and fit for a prompt.
    """
    chosen = tuple(names or found)
    if len(chosen) != len(found) or len(set(chosen)) < len(chosen):
        raise UserError(
            f"{source} has {len(found)} learned things ({' '.join(found)})",
            "give each a name of its own: --concept NAME, once for each",
        )
    for name in chosen:
        if not CONCEPT_NAME.fullmatch(name):
            raise UserError(
                f"{name!r} cannot name a thing", "name them with --concept, letters and digits"
            )
    return chosen


def write_concepts(
    folder: Path,
    imported: Imported,
    rows: Mapping[str, torch.Tensor],
    files: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """A run's `concepts/` folder as training leaves it; `files`: the change, by file name."""

    def write_change(temporary: Path) -> None:
        for name, tensors in files.items():
            if tensors:
                save_tensors(temporary / name, tensors)

    save_concepts(
        folder,
        rows,
        write_change,
        concepts=imported.concepts,
        base=imported.base,
        base_hash=imported.base_hash,
        step=imported.step,
        recipe=imported.settings,
    )
