"""From what a person names to files on this disk: the base model's folder, hash and licence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from engine.base_models import BASE_MODELS, BaseModel, check_base
from engine.errors import UserError
from engine.events import Event
from engine.model_files import check_folder, folder_weights

Report = Callable[[Event], None]


class Resolved(NamedTuple):
    """A base model on this disk."""

    name: str
    path: Path
    """A diffusers folder, or a single safetensors file."""
    weight_files: tuple[Path, ...]
    """The UNet's weights in order, or the single file."""
    unet_hash: str
    """Their sha256 where it is known already, else empty."""
    source: str
    licence: str


def resolve(base: str, report: Report) -> Resolved:
    """Find the base model on this disk, or fetch it; raises UserError where that fails."""
    choice = check_base(base)
    if choice.kind == "name":
        return _named(BASE_MODELS[base], report)
    if choice.kind == "folder":
        return _folder(Path(choice.recorded), name=Path(choice.recorded).name)
    raise UserError(f"{base} cannot be loaded", "use a diffusers folder")


def _named(model: BaseModel, report: Report) -> Resolved:
    if model.folder is not None:
        if not model.folder.is_dir():
            raise UserError(f"the embedded model {model.name} is missing", "install bas-tui again")
        check_folder(model.folder)
        return _folder(model.folder, name=model.name, source=model.name, licence=model.licence)
    raise UserError(f"{model.name} cannot be loaded", "use --base pocket or a local folder")


def _folder(folder: Path, *, name: str, source: str = "", licence: str = "") -> Resolved:
    files = tuple(folder / "unet" / file for file in folder_weights(folder, "unet").files)
    return Resolved(name, folder, files, "", source or str(folder), licence)
