"""What a base model's JSON files say of its shape, told without loading any weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.models.names import BASE_MODELS, check_base


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


def base_shape(base: str) -> Shape:
    """The shape of what `--base` names; Stable Diffusion's where nothing on this disk says it."""
    known = BASE_MODELS.get(base)
    if known is not None and known.folder is None:
        return Shape(resolution=known.resolution)
    try:
        folder = known.folder if known else Path(check_base(base).recorded)
    except UserError:
        return Shape()
    return folder_shape(folder) if folder is not None and folder.is_dir() else Shape()


def folder_shape(folder: Path) -> Shape:
    """The shape after `unet/config.json` and `vae/config.json` of a diffusers folder."""
    unet, vae = _read(folder / "unet"), _read(folder / "vae")
    usual = Shape()
    levels = len(_list(vae.get("block_out_channels")))
    factor = 2 ** (levels - 1) if levels else usual.factor
    size = unet.get("sample_size")
    blocks = _list(unet.get("down_block_types"))
    depths = tuple(depth for depth, kind in enumerate(blocks) if "CrossAttn" in str(kind))
    return Shape(
        resolution=size * factor if isinstance(size, int) else usual.resolution,
        factor=factor,
        depths=depths or usual.depths,
    )


def attention_grid(base: str, config: TrainConfig) -> int:
    """The grid on which a run of these settings will supervise attention, before it is loaded.

    `loss.attention_grid`, else what the loaded family takes: a quarter of the latents' side, or
    the grid that is nearest to it.
    """
    if config.loss.attention_grid:
        return config.loss.attention_grid
    shape = base_shape(base)
    resolution = config.resolution or shape.resolution
    quarter = resolution / shape.factor / 4
    return min(shape.grids(resolution), key=lambda grid: abs(grid - quarter))


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _read(folder: Path) -> dict[str, Any]:
    try:
        value: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
