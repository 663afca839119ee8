"""Checks a base model before a run folder exists, without torch and without reading weights."""

from __future__ import annotations

from engine.models.names import BaseModel, check_base


def resolve_base(base: str, *, ask_hub: bool = True, own_vae: bool = False) -> str:
    """What run.toml records for `base`: a name, a hub id, or an absolute path.

    Raises UserError for what can be no base model: no such file, a pickle, a folder of no known
    kind; with `ask_hub` also what must be fetched and cannot be. With `own_vae` a file may lack
    the autoencoder.
    """
    choice = check_base(base, own_vae=own_vae)
    if ask_hub:
        from engine.models.resolve import check_available

        check_available(choice.recorded)
    return choice.recorded


def is_local(model: BaseModel) -> bool:
    """Whether a named base needs no download: embedded, or complete in the hub's cache."""
    if model.folder is not None:
        return (model.folder / "model_index.json").is_file()
    from engine.models.hub import cached_folder

    return any(cached_folder(repository) is not None for repository in model.repositories)
