"""Which model a folder or a hub id holds, told from its config.json; nothing is loaded here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.core.errors import UserError
from engine.models.headers import read_json
from engine.models.hub import Report, Unusable, fetch_files
from engine.models.names import HUB_ID

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
INSTEAD = "use --segmenter embedded, or the folder of a model that lies here"
DESCRIBED = re.compile(
    r"(config|preprocessor_config|processor_config|tokenizer|tokenizer_config|vocab"
    r"|special_tokens_map|added_tokens|model\.safetensors\.index)\.json"
    r"|merges\.txt|vocab\.txt"
)
"""Files of a repository that say what it holds."""
WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")


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
    """What a folder or a hub id `owner/name[@revision]` holds; no weights are fetched yet.

    Raises UserError for what is neither, cannot be reached, or is another kind of model.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not HUB_ID.fullmatch(name):
            raise UserError(
                f"there is no segmenter {name!r}",
                "give embedded, the folder of a model, or a hub id such as "
                "facebook/sam2.1-hiera-tiny",
            )

        def described(there: Path) -> bool:
            return (there / "config.json").is_file()

        folder = _fetched(name, DESCRIBED.fullmatch, report, described)
    config = read_json(folder / "config.json") or {}
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise UserError(
            f"{name} is no model of transformers (no config.json with a model_type)",
            f"what serves: {SERVE}",
        )
    if kind not in KINDS:
        raise UserError(f"{name} is a {kind} model, which finds no masks here", f"use {SERVE}")
    return ModelFiles(name, folder, KINDS[kind], config)


def with_weights(model: ModelFiles, report: Report) -> ModelFiles:
    """The model with all of its files, fetched where they are not here; raises UserError."""
    if not Path(model.name).expanduser().is_dir():

        def wanted(file: str) -> bool:
            return bool(DESCRIBED.fullmatch(file) or WEIGHTS.fullmatch(file))

        def whole(folder: Path) -> bool:
            spoken = any((folder / name).is_file() for name in TOKENIZERS)
            return _has_weights(folder) and (spoken or not model.reads_words)

        model = model._replace(folder=_fetched(model.name, wanted, report, whole))
    if not any(model.folder.glob("*.safetensors")):
        raise UserError(f"{model.name} has no weights in safetensors format", "take one that has")
    return model


def _fetched(
    hub_id: str, wanted: Callable[[str], object], report: Report, whole: Callable[[Path], bool]
) -> Path:
    try:
        return fetch_files(hub_id, wanted, report, whole=whole, instead=INSTEAD)
    except Unusable as error:
        raise UserError(f"{hub_id} cannot serve: {error.problem}", error.remedy) from error


def _has_weights(folder: Path) -> bool:
    """Whether the one file is there, or every shard of an index."""
    shards = (read_json(folder / INDEX) or {}).get("weight_map")
    names = set(map(str, shards.values())) if isinstance(shards, dict) else {"model.safetensors"}
    return all((folder / name).is_file() for name in names)


def picture_numbers(model: ModelFiles, mean: list[float], deviation: list[float]) -> Any:
    """Mean and deviation of the model's pictures (0..1), from its files, else those given."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        record = read_json(model.folder / name) or {}
        try:
            record = record.get("image_processor", record)
            return list(map(float, record["image_mean"])), list(map(float, record["image_std"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return mean, deviation
