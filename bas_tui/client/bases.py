"""Checks a base model's name before a run folder exists, without torch and without its weights."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from engine.base_models import BASE_MODELS, BaseModel
from engine.errors import UserError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PICKLES = frozenset({".ckpt", ".bin", ".pt", ".pth", ".pkl"})
OFFLINE = "offline: use --base pocket or a local folder"
HUB_SECONDS = 8.0
"""How long a run waits for the hub's answer before it says that it is offline."""


def resolve_base(base: str, *, ask_hub: bool = True) -> str:
    """What run.toml records for `base`: a name, a hub id, or an absolute path.

    Raises UserError for what can be no base model: no such file, a pickle, a folder without a
    diffusers model, a hub repository that neither the cache nor the hub has.
    """
    if base in BASE_MODELS:
        if ask_hub:
            _ask_hub(base, BASE_MODELS[base].repositories)
        return base
    path = Path(base).expanduser()
    if path.is_file():
        _check_file(path)
        return str(path.resolve())
    if path.is_dir():
        _check_folder(path)
        return str(path.resolve())
    if path.suffix in PICKLES | {".safetensors"} or base.startswith((".", "/", "~")):
        raise UserError(f"there is no base model at {base}", "check the path")
    if HUB_ID.fullmatch(base):
        if ask_hub:
            _ask_hub(base, (base,))
        return base
    close = difflib.get_close_matches(base, BASE_MODELS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise UserError(
        f"there is no base model {base!r}",
        f"{hint}take one of {', '.join(BASE_MODELS)}, a diffusers folder, "
        "a .safetensors file or a hub id",
    )


def is_local(model: BaseModel) -> bool:
    """Whether a named base needs no download: embedded, or complete in the hub's cache."""
    if model.folder is not None:
        return (model.folder / "model_index.json").is_file()
    return any(_cached(repository, weights=True) for repository in model.repositories)


def _check_file(path: Path) -> None:
    if path.suffix in PICKLES:
        raise UserError(
            f"{path.name} is a pickle, which can run code when it is loaded",
            "take the model's .safetensors file",
        )
    if path.suffix != ".safetensors":
        raise UserError(
            f"{path.name} is no model file", "give a .safetensors file or a diffusers folder"
        )
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= path.stat().st_size - 8 or file.read(1) != b"{":
            raise UserError(f"{path.name} is no safetensors file", "download it again")


def _check_folder(path: Path) -> None:
    remedy = "give the folder that holds model_index.json, unet/, vae/, text_encoder/, tokenizer/"
    try:
        index = json.loads((path / "model_index.json").read_text(encoding="utf-8"))
        pipeline = str(index["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no diffusers model", remedy) from error
    if not (path / "unet").is_dir():
        raise UserError(
            f"{path} holds a {pipeline}, which has no UNet",
            "the method needs a UNet with cross-attention, such as Stable Diffusion 1.x or 2.x",
        )
    for part in ("unet", "vae", "text_encoder", "tokenizer"):
        folder = path / part
        if not folder.is_dir():
            raise UserError(f"{path} holds no {part}/", remedy)
        if part != "tokenizer" and not any(folder.glob("*.safetensors")):
            pickled = any(file.suffix in PICKLES for file in folder.iterdir())
            raise UserError(
                f"{folder} holds {'pickled weights only' if pickled else 'no weights'}",
                "the weights must be .safetensors files",
            )


def _cached(repository: str, *, weights: bool = False) -> bool:
    """Whether the hub's cache on this disk has the repository (with its UNet's weights)."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(repository, "model_index.json")
    if not isinstance(index, str):
        return False
    return not weights or any((Path(index).parent / "unet").glob("*.safetensors"))


def _ask_hub(base: str, repositories: Sequence[str]) -> None:
    """Raise UserError where a model must be fetched and nothing has it; a gated one is named."""
    if not repositories or any(_cached(repository, weights=True) for repository in repositories):
        return
    from huggingface_hub import (
        get_hf_file_metadata,  # pyright: ignore[reportUnknownVariableType]
        hf_hub_url,
    )
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    missing: list[str] = []
    for repository in repositories:
        try:
            get_hf_file_metadata(hf_hub_url(repository, "model_index.json"), timeout=HUB_SECONDS)
            return
        except GatedRepoError as error:
            raise UserError(
                f"{repository} asks you to accept its licence first",
                "accept it on its page and sign in, or use another base model",
            ) from error
        except RepositoryNotFoundError:
            missing.append(repository)
        except Exception:  # Every kind of network failure means the same to the person.
            continue
    if len(missing) == len(repositories):
        raise UserError(
            f"the hub has no {' and no '.join(missing)}", "check the name, or use --base pocket"
        )
    raise UserError(f"the base model {base} is not on this machine and the hub did not answer",
                    OFFLINE)  # fmt: skip
