"""How many weights a base model has and how many of them a run moves, told without loading it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.models.headers import read_header
from engine.models.names import BASE_MODELS, check_base
from engine.models.weight_files import folder_weights

Shapes = Mapping[str, tuple[int, ...]]
DIFFUSERS = "diffusion_pytorch_model"
"""Beginning of the names of weight files of the UNet and the VAE."""
UNET, TEXT, VAE = ("model.diffusion_model.",), ("cond_stage_model.", "conditioner."), ("first_",)


class Sizes(NamedTuple):
    """Numbers of weights."""

    unet: int
    text: int
    """Of all text encoders together."""
    vae: int
    cross_attention: int
    """Keys and values of the UNet's cross-attention."""
    lora_unet: float
    """A low-rank change of rank 1 of every linear and convolution layer."""
    lora_text: float

    @property
    def all(self) -> int:
        """Without the autoencoder, which never moves."""
        return self.unet + self.text

    def moved(self, config: TrainConfig) -> int:
        """Weights that phase 2 moves, but for the token rows."""
        if config.phase2.steps == 0 or config.phase2.train == "none":
            return 0
        if config.phase2.train == "lora":
            text = self.lora_text if config.lora.text_encoder else 0
            return int((self.lora_unet + text) * config.lora.rank)
        parts = {"all": self.all, "unet": self.unet, "cross-attention": self.cross_attention}
        return parts[config.phase2.train]


# Of true models on the meta device; the ranks' cost from their layers.
KNOWN = {
    "sd15": Sizes(859_520_964, 123_060_480, 83_653_863, 19_169_280, 1.06e6, 0.21e6),
    "sd21": Sizes(865_910_724, 340_387_840, 83_653_863, 25_559_040, 1.06e6, 0.44e6),
    "sdxl": Sizes(2_567_463_684, 817_720_320, 83_653_863, 340_787_200, 3.1e6, 0.9e6),
}


def base_sizes(base: str) -> Sizes | None:
    """Of a named base, a folder or a file on this disk; None where nothing here says it."""
    if base in KNOWN:
        return KNOWN[base]
    known = BASE_MODELS.get(base)
    try:
        path = (known.folder if known else None) or Path(check_base(base).recorded)
        if path.is_dir():
            return _of_folder(path)
        return _of_file(path) if path.is_file() else None
    except (UserError, OSError):
        return None


def _of_folder(folder: Path) -> Sizes:
    def shapes(component: str, stem: str = "model") -> Shapes:
        if not (folder / component).is_dir():
            return {}
        found: dict[str, tuple[int, ...]] = {}
        for name in folder_weights(folder, component, stem).files:
            found |= read_header(folder / component / name).shapes
        return found

    text = {**shapes("text_encoder"), **{f"2.{k}": v for k, v in shapes("text_encoder_2").items()}}
    return _sizes(shapes("unet", DIFFUSERS), text, shapes("vae", DIFFUSERS))


def _of_file(path: Path) -> Sizes:
    shapes = read_header(path).shapes

    def part(prefixes: tuple[str, ...]) -> Shapes:
        return {name: shape for name, shape in shapes.items() if name.startswith(prefixes)}

    return _sizes(part(UNET), part(TEXT), part(VAE))


def _sizes(unet: Shapes, text: Shapes, vae: Shapes) -> Sizes:
    keys = {n: s for n, s in unet.items() if "attn2.to_k." in n or "attn2.to_v." in n}
    return Sizes(_count(unet), _count(text), _count(vae), _count(keys), _rank(unet), _rank(text))


def _count(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _rank(shapes: Shapes) -> float:
    layers = (
        shape
        for name, shape in shapes.items()
        if name.endswith("weight") and len(shape) in (2, 4) and "embedding" not in name
    )
    return float(sum(shape[0] + math.prod(shape[1:]) for shape in layers))
