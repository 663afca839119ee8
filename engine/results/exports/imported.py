"""What an import found, whatever it was found in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.files.atomic import new_folder
from engine.files.weights_io import save_tensors
from engine.results.concepts import FORMAT
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


def write_concepts(
    folder: Path,
    imported: Imported,
    rows: Mapping[str, torch.Tensor],
    files: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """A run's `concepts/` folder as training leaves it; `files`: the change, by file name."""
    with new_folder(folder) as temporary:
        save_tensors(temporary / "rows.safetensors", rows)
        for name, tensors in files.items():
            if tensors:
                save_tensors(temporary / name, tensors)
        record = {
            "format": FORMAT,
            "base": imported.base,
            "base_hash": imported.base_hash,
            "step": imported.step,
            "concepts": [vars(concept) for concept in imported.concepts],
            "recipe": imported.settings,
        }
        (temporary / "concepts.json").write_text(json.dumps(record, indent=1))
