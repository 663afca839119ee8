"""What other programs must know of a base model; read from its JSON files, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.core.config import TrainConfig
from engine.families.file_configs import CONFIGS
from engine.models.detection import check_file, configs_beside
from engine.models.facts import native_resolution, prefers_half
from engine.models.headers import read_json
from engine.models.kinds import STABLE_DIFFUSION_XL
from engine.models.resolve import Report, Resolved, resolve
from engine.results.exports.layouts import UnetShape

Kind = Literal["sd1", "sd2", "sdxl", "other"]
TITLES: dict[Kind, str] = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
    "other": "a model of its own kind",
}
TEXT_WIDTHS: dict[int, Kind] = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
CLIP_WORDS = 49408
"""Of CLIP's vocabulary, which configurations may leave out."""
FIRST_CHANNELS = 320
"""Of every published Stable Diffusion's UNet, distilled ones included."""


@dataclass(frozen=True, kw_only=True)
class BaseFacts:
    """A base model as other programs see it."""

    kind: Kind
    name: str
    source: str
    """The repository or path it is read from."""
    sha256: str
    licence: str
    v_prediction: bool
    resolution: int
    """Native side of a picture in pixels."""
    shape: UnetShape
    text_widths: tuple[int, ...]
    """Width of each text encoder's rows."""
    words: int
    """Rows of the smallest vocabulary."""


def base_facts(base: str, config: TrainConfig, report: Report) -> tuple[Resolved, BaseFacts]:
    """Find the base model of a run (fetched if need be) and what its configuration says."""
    found = resolve(
        base,
        report,
        half=prefers_half(config),
        own_vae=bool(config.base.vae),
        prediction=config.base.predicts,
    )
    folder, prediction, side = found.path, "", 0
    if not found.path.is_dir():
        told = check_file(found.path, own_vae=bool(config.base.vae))
        beside = configs_beside(found.path)
        version = "sd2" if told.open_clip else "sd1"
        folder = beside or CONFIGS / ("sdxl" if told.kind is STABLE_DIFFUSION_XL else version)
        if beside is None:
            prediction, side = told.prediction, told.resolution
    unet, vae = _config(folder / "unet"), _config(folder / "vae")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json") or {}
    prediction = config.base.predicts or prediction or scheduler.get("prediction_type", "epsilon")
    texts = [_config(folder / part) for part in found.kind.weights if part.startswith("text_")]
    return found, BaseFacts(
        # By its make, whatever its size: names of files' tensors follow from that.
        kind="sdxl" if found.kind is STABLE_DIFFUSION_XL else kind_of(unet),
        name=base if found.path.is_dir() and found.source != str(found.path) else found.name,
        source=found.source,
        sha256=found.sha256,
        licence=found.licence,
        v_prediction=prediction == "v_prediction",
        resolution=side or native_resolution(unet, vae),
        shape=UnetShape.of(unet),
        text_widths=tuple(text["hidden_size"] for text in texts),
        words=min(text.get("vocab_size", CLIP_WORDS) for text in texts),
    )


def kind_of(unet: Mapping[str, Any]) -> Kind:
    """Which Stable Diffusion a UNet's configuration belongs to; `other` for none."""
    if unet.get("block_out_channels", [0])[0] != FIRST_CHANNELS:
        return "other"
    width = unet["cross_attention_dim"]
    return TEXT_WIDTHS.get(width, "other") if isinstance(width, int) else "other"


def _config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json") or {}
