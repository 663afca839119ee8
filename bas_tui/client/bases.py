"""Checks a base model before a run folder exists, without torch and without reading weights."""

from __future__ import annotations

from collections.abc import Sequence

from engine.base_models import BASE_MODELS, BaseModel, check_base
from engine.errors import UserError


def resolve_base(base: str, *, ask_hub: bool = True) -> str:
    """What run.toml records for `base`: a name, a hub id, or an absolute path.

    Raises UserError for what can be no base model: no such file, a pickle, a folder without a
    Stable Diffusion model; with `ask_hub` also what must be fetched and cannot be.
    """
    choice = check_base(base)
    if ask_hub and choice.kind in ("name", "hub"):
        model = BASE_MODELS.get(base)
        _ask_hub(base, model.repositories if model else (base,))
    return choice.recorded


def is_local(model: BaseModel) -> bool:
    """Whether a named base needs no download: embedded, or complete in the hub's cache."""
    if model.folder is not None:
        return (model.folder / "model_index.json").is_file()
    from engine.families.hub import cached_folder

    return any(cached_folder(repository) is not None for repository in model.repositories)


def _ask_hub(base: str, repositories: Sequence[str]) -> None:
    """Raise UserError where a model is neither on this disk nor to be had from the hub."""
    if not repositories:
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    from engine.families.hub import HUB_SECONDS, OFFLINE, cached_folder

    if any(cached_folder(repository) is not None for repository in repositories):
        return
    problems: list[UserError] = []
    for repository in repositories:
        try:
            HfApi().model_info(repository, timeout=HUB_SECONDS)
            return
        except GatedRepoError:
            problems.append(
                UserError(
                    f"{repository} asks to accept its licence first",
                    "accept it on the repository's page and sign in with `hf auth login`",
                )
            )
        except RepositoryNotFoundError:
            problems.append(
                UserError(
                    f"the hub has no repository {repository} (removed or private)",
                    "check the name, or use --base pocket or a local folder",
                )
            )
        except Exception as error:  # The client lets its HTTP library's many failures through.
            raise UserError(
                f"the base model {base} is not on this machine and the hub did not answer", OFFLINE
            ) from error
    raise problems[0]
