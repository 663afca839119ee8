"""Which model a folder or a hub id holds, told from its config.json; nothing is loaded here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.core.errors import UserError
from engine.models.hub import Report, Unusable, fetch_files

EMBEDDED = "embedded"
Kind = Literal[
    "sam", "sam2", "sam3", "sam3-words", "sam3-clicks", "edgetam", "clipseg", "grounding-dino"
]
KINDS: dict[str, Kind] = {
    "sam": "sam",
    "sam2": "sam2",
    "sam2_video": "sam2",
    "sam3": "sam3-words",
    "sam3_video": "sam3",
    "sam3_tracker": "sam3-clicks",
    "edgetam": "edgetam",
    "edgetam_video": "edgetam",
    "clipseg": "clipseg",
    "grounding-dino": "grounding-dino",
    "mm-grounding-dino": "grounding-dino",
}
"""By the `model_type` of config.json. A video model's file holds the one for pictures, too."""
SERVE = "SAM, SAM 2, SAM 3, EdgeTAM; for words SAM 3, CLIPSeg or Grounding DINO"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
INSTEAD = "use --segmenter embedded, or the folder of a model that lies here"
FILES = re.compile(
    r"(config|preprocessor_config|processor_config|tokenizer|tokenizer_config|vocab"
    r"|special_tokens_map|added_tokens|model\.safetensors\.index)\.json"
    r"|merges\.txt|vocab\.txt|model(-\d+-of-\d+)?\.safetensors"
)
"""Files of a repository that are fetched; weights are read from safetensors only."""


class ModelFiles(NamedTuple):
    """A model that lies on this disk."""

    name: str
    """As it was asked for."""
    folder: Path
    kind: Kind
    config: dict[str, Any]

    @property
    def cuts(self) -> bool:
        """Whether it answers clicks and boxes."""
        return self.kind not in ("sam3-words", "clipseg", "grounding-dino")

    @property
    def reads_words(self) -> bool:
        """Whether it finds things by words."""
        return self.kind in ("sam3", "sam3-words", "clipseg", "grounding-dino")


def find_model(name: str, report: Report) -> ModelFiles:
    """The model of a folder or a hub id `owner/name[@revision]`, fetched where it is not here.

    Raises UserError for what is neither, cannot be reached, or is another kind of model.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
            raise UserError(
                f"there is no segmenter {name!r}",
                "give embedded, the folder of a model, or a hub id such as "
                "facebook/sam2.1-hiera-tiny",
            )
        try:
            folder = fetch_files(name, FILES.fullmatch, report, INSTEAD)
        except Unusable as error:
            raise UserError(f"{name} cannot serve: {error.problem}", error.remedy) from error
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{name} is no model of transformers (no config.json with a model_type)",
            f"what serves: {SERVE}",
        ) from error
    if kind not in KINDS:
        raise UserError(f"{name} is a {kind} model, which finds no masks here", f"use {SERVE}")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{name} has no weights in safetensors format", "take one that has")
    return ModelFiles(name, folder, KINDS[kind], config)


def picture_numbers(model: ModelFiles, mean: list[float], deviation: list[float]) -> Any:
    """Mean and deviation of the model's pictures (0..1), from its files, else those given."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        try:
            record = json.loads((model.folder / name).read_text(encoding="utf-8"))
            record = record.get("image_processor", record)
            return list(map(float, record["image_mean"])), list(map(float, record["image_std"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return mean, deviation
