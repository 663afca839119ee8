"""What is known of a base model before it is loaded: kind, shape, settings it works best with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.core.settings import read_toml
from engine.models.detection import check_file, configs_beside
from engine.models.headers import read_json
from engine.models.kinds import FamilyKind, kind_of_folder, kinds
from engine.models.names import BASE_MODELS, check_base

RECIPE_FILE = "bas_recipe.toml"
FEW_STEPS = re.compile(r"turbo|lightning|hyper[-_]?sd|(?<![a-z])lcm(?![a-z])", re.IGNORECASE)
FEW_STEP_SETTINGS = {
    "sampling.steps": 4,
    "sampling.guidance": 1.0,
    "loss.prior_steps": 4,
    "preview.steps": 4,
}
"""What a model distilled to few steps without guidance draws with."""
FEW_STEPS_WARNING = (
    "after its name this model is distilled to few steps: it draws with 4 and guidance 1 "
    "(sampling.steps, sampling.guidance); things are learned better on the model it was made from"
)


class Shape(NamedTuple):
    """Of a UNet and its autoencoder."""

    resolution: int = 512
    """Native side of a picture, pixels."""
    factor: int = 8
    """Picture pixels along a latent position."""
    depths: tuple[int, ...] = (0, 1, 2)
    """How often the latents were halved where cross-attention stands in down and up blocks."""

    def grids(self, resolution: int) -> tuple[int, ...]:
        """Sides of the cross-attention's query grids for a picture of that side, rising."""
        side = resolution // self.factor
        return tuple(sorted(side >> depth for depth in self.depths))


XL_SHAPE = Shape(resolution=1024, depths=(1, 2))


class Base(NamedTuple):
    """What `--base` names, as far as this disk tells."""

    folder: Path | None
    """Its folder in diffusers' layout; None for a single file, and for what must be fetched."""
    kind: FamilyKind | None
    """None for what must be fetched."""
    shape: Shape
    few_steps: bool
    """Distilled to draw in a few steps without guidance, after its name."""


def base_facts(base: str) -> Base:
    """Facts of a base; Stable Diffusion's shape where nothing on this disk says another."""
    few_steps = FEW_STEPS.search(Path(base).name) is not None
    known = BASE_MODELS.get(base)
    if known is not None and known.folder is None:
        kind = next(kind for kind in kinds() if kind.name == known.kind)
        usual = XL_SHAPE if kind.name == "stable-diffusion-xl" else Shape()
        return Base(None, kind, usual._replace(resolution=known.resolution), few_steps)
    try:
        choice = check_base(base, own_vae=True)
    except UserError:
        return Base(None, None, Shape(), few_steps)
    if choice.kind == "file":
        path = Path(choice.recorded)
        beside, told = configs_beside(path), check_file(path, own_vae=True)
        usual = XL_SHAPE if told.kind.name == "stable-diffusion-xl" else Shape()
        shape = folder_shape(beside) if beside else usual
        return Base(None, told.kind, shape, few_steps)
    folder = known.folder if known else Path(choice.recorded)
    if choice.kind == "hub":
        # Here, because its HTTP client takes a third of a second to import.
        from engine.models.hub import cached_folder

        folder = cached_folder(base)
    if folder is None:
        return Base(None, None, Shape(), few_steps)
    index = read_json(folder / "model_index.json") or {}
    kind = kind_of_folder(
        str(index.get("_class_name", "")),
        {part for part in index if (folder / part).is_dir()},
    )
    return Base(folder, kind, folder_shape(folder), few_steps)


def recipe_settings(base: str) -> dict[str, Any]:
    """The settings that a base model works best with, dotted.

    Those of its kind, then its own: a `bas_recipe.toml` in its folder wins.
    """
    facts = base_facts(base)
    known = BASE_MODELS.get(base)
    layers: list[Mapping[str, Any]] = [facts.kind.settings] if facts.kind else []
    if facts.few_steps:
        layers.append(FEW_STEP_SETTINGS)
    if known is not None:
        layers.append(known.settings)
    if facts.folder is not None and (facts.folder / RECIPE_FILE).is_file():
        layers.append(read_toml(facts.folder / RECIPE_FILE))
    return {key: value for layer in layers for key, value in layer.items()}


def folder_shape(folder: Path) -> Shape:
    """The shape after `unet/config.json` and `vae/config.json` of a diffusers folder."""
    unet = read_json(folder / "unet" / "config.json") or {}
    vae = read_json(folder / "vae" / "config.json") or {}
    factor = latent_factor(vae)
    blocks = _list(unet.get("down_block_types"))
    depths = tuple(depth for depth, kind in enumerate(blocks) if "CrossAttn" in str(kind))
    return Shape(native_resolution(unet, vae), factor, depths or Shape().depths)


def latent_factor(vae: Mapping[str, Any]) -> int:
    """Picture pixels along a latent position, after an autoencoder's configuration."""
    levels = len(_list(vae.get("block_out_channels")))
    return 2 ** (levels - 1) if levels else Shape().factor


def native_resolution(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
    """Native side of a picture after the configurations; the autoencoder's where the UNet is mute.

    `sample_size` is a number, or in some files a list of two equal ones.
    """
    size = unet.get("sample_size")
    size = next(iter(_list(size)), size)
    if isinstance(size, int) and size > 0:
        return size * latent_factor(vae)
    side = vae.get("sample_size")
    return side if isinstance(side, int) and side > 0 else Shape().resolution


def attention_grid(base: str, config: TrainConfig) -> int:
    """The grid on which a run of these settings will supervise attention, before it is loaded.

    `loss.attention_grid`, else what the loaded family takes: a quarter of the latents' side, or
    the grid that is nearest to it.
    """
    if config.loss.attention_grid:
        return config.loss.attention_grid
    shape = base_facts(base).shape
    resolution = config.resolution or shape.resolution
    quarter = resolution / shape.factor / 4
    return min(shape.grids(resolution), key=lambda grid: abs(grid - quarter))


def latent_side(base: str, config: TrainConfig) -> int:
    """Side of the latents that a run of these settings trains on, before it is loaded."""
    shape = base_facts(base).shape
    return (config.resolution or shape.resolution) // shape.factor


def check_grid(base: str, config: TrainConfig) -> None:
    """Raise UserError for a `loss.attention_grid` that a base on this disk does not have."""
    facts, grid = base_facts(base), config.loss.attention_grid
    if facts.kind is None or not grid or config.loss.attention_weight == 0:
        return
    grids = facts.shape.grids(config.resolution or facts.shape.resolution)
    if grid not in grids:
        raise UserError(
            f"this model has no {grid}x{grid} cross-attention at this resolution",
            f"set loss.attention_grid to one of: {', '.join(map(str, grids))}",
        )


def prefers_half(config: TrainConfig) -> bool:
    """Whether the base's weights stay frozen, so that half-precision files serve as well."""
    return config.phase2.steps == 0 or config.phase2.train in ("lora", "none")


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
