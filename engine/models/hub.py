"""Fetches a model's repository from the hub: only what is needed, with progress and hash check.

A repository that cannot serve raises `Unusable` and the next one may be tried; a hub that cannot
be reached raises UserError at once, for every repository lies there.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging
from tqdm.auto import tqdm

from engine.core.errors import BasError, UserError
from engine.models.detection import TAKE_OTHER, TOKENIZER_FILES, check_folder, only_these
from engine.models.kinds import FamilyKind, kinds
from engine.models.weight_files import FULL, choose_weights
from engine.runs.events import Event, Progress

HUB_SECONDS = 8.0
"""How long to wait for the hub's first answer."""
REPORT_SECONDS = 0.25
"""Time between two progress events of a download."""
INSTEAD = "use --base pocket or a local folder"
SPARE_BYTES = 1 << 28
FOREIGN_PARTS = {"transformer", "prior", "text_encoder_2", "text_encoder_3", "unet_2"}
"""Folders that tell of a kind of model, for a listing says no more than names."""

Report = Callable[[Event], None]


class Unusable(Exception):
    """This repository cannot serve: gone, gated, without usable files, or with other weights."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class RemoteFile(NamedTuple):
    """A file of a repository as the hub lists it."""

    name: str
    size: int
    sha256: str
    """Empty for files kept in git itself."""


def split_revision(hub_id: str) -> tuple[str, str | None]:
    """`owner/name@revision` as repository and revision (a branch, a tag or a commit), or None."""
    repository, _, revision = hub_id.partition("@")
    return repository, revision or None


def cached_folder(hub_id: str) -> Path | None:
    """The repository in the hub's cache on this disk, if it is a whole usable model there."""
    repository, revision = split_revision(hub_id)
    index = try_to_load_from_cache(repository, "model_index.json", revision=revision)
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    try:
        check_folder(folder)
    except UserError:
        return None
    return folder


class Listing(NamedTuple):
    """What loading needs of a repository."""

    files: list[RemoteFile]
    commit: str


def look_up(hub_id: str, accepted: Collection[str], variants: Sequence[str] = FULL) -> Listing:
    """Ask the hub for the repository's files; nothing is fetched.

    `accepted` are the allowed sha256 sums of the UNet's file; empty allows all. `variants` are the
    precisions of the weights in the order they are wanted. Raises Unusable, or UserError when the
    hub is out of reach.
    """
    repository, revision = split_revision(hub_id)
    with _explained(hub_id):
        info = HfApi().model_info(
            repository, revision=revision, timeout=HUB_SECONDS, files_metadata=True
        )
    files = wanted_files([_remote(sibling) for sibling in info.siblings or []], variants)
    sums = {file.sha256 for file in files if file.name.startswith("unet/") and file.sha256}
    if accepted and sums and not sums <= set(accepted):
        raise Unusable(
            "its UNet is not the published one (sha256 differs)",
            f"to use it all the same: --base {hub_id}",
        )
    return Listing(files, info.sha or "main")


def fetch(
    hub_id: str, accepted: Collection[str], report: Report, variants: Sequence[str] = FULL
) -> Path:
    """Download what is needed of a repository into the hub's cache and return its folder.

    Raises what `look_up` raises, before anything large is fetched, and UserError when the disk is
    too small or the transfer breaks off; what has come by then is kept.
    """
    files, commit = look_up(hub_id, accepted, variants)
    folder = _download(hub_id, files, commit, report, INSTEAD)
    check_folder(folder)
    return folder


def fetch_files(
    hub_id: str,
    wanted: Callable[[str], object],
    report: Report,
    *,
    whole: Callable[[Path], bool],
    instead: str,
) -> Path:
    """The folder of a model of transformers in the hub's cache, with the files that are wanted.

    `wanted` chooses them by their names. What is `whole` in the cache is taken without asking;
    `instead` is the remedy where the hub is out of reach. Raises Unusable, and UserError.
    """
    repository, revision = split_revision(hub_id)
    try:
        cached = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        if whole(cached):
            return cached
    except OSError:  # Of the client's errors the one for what is not in the cache.
        pass
    with _explained(hub_id, instead=instead):
        info = HfApi().model_info(
            repository, revision=revision, timeout=HUB_SECONDS, files_metadata=True
        )
    files = [file for file in map(_remote, info.siblings or []) if wanted(file.name)]
    return _download(hub_id, files, info.sha or "main", report, instead)


def _download(
    hub_id: str, files: Sequence[RemoteFile], commit: str, report: Report, instead: str
) -> Path:
    """Bring what is missing of the files into the cache; the folder."""
    repository, revision = split_revision(hub_id)
    missing = [
        file
        for file in files
        if not isinstance(try_to_load_from_cache(repository, file.name, revision=commit), str)
    ]
    total = sum(file.size for file in missing)
    _check_disk(hub_id, total)
    report(Progress(stage="download", done=0, total=total, label=hub_id))
    with _explained(hub_id, begun=True, instead=instead):
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[file.name for file in files],
            etag_timeout=HUB_SECONDS,
            tqdm_class=_progress_class(hub_id, total, report),
        )
    report(Progress(stage="download", done=total, total=total, label=hub_id))
    return Path(folder)


def wanted_files(files: Collection[RemoteFile], variants: Sequence[str] = FULL) -> list[RemoteFile]:
    """The files of a listing that loading needs; raises Unusable when some are not there."""
    names = {file.name for file in files}
    folders = {name.partition("/")[0] for name in names if "/" in name}
    kind = _kind_of_listing(folders)
    wanted = {"model_index.json", "scheduler/scheduler_config.json", "README.md"}
    required = {"model_index.json", "scheduler/scheduler_config.json"}
    for part, stem in kind.weights.items():
        inside = {name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")}
        weights = choose_weights(inside, stem, variants)
        if weights is None:
            lack = f"no safetensors weights in {part}/" if inside else f"no {part}/"
            raise Unusable(f"it has {lack}", TAKE_OTHER)
        required.add(f"{part}/config.json")
        wanted |= {f"{part}/{name}" for name in (*weights.files, weights.shard_index) if name}
    for tokenizer in kind.tokenizers:
        wanted |= {
            f"{tokenizer}/{name}" for name in ("tokenizer_config.json", "special_tokens_map.json")
        }
        for alternative in TOKENIZER_FILES:
            chosen = {f"{tokenizer}/{name}" for name in alternative}
            if chosen <= names:
                wanted |= chosen
                break
        else:
            raise Unusable("it has no tokenizer", TAKE_OTHER)
    if not required <= names:
        raise Unusable(f"it has no {min(required - names)}", TAKE_OTHER)
    return [file for file in files if file.name in wanted | required]


def _kind_of_listing(folders: Collection[str]) -> FamilyKind:
    """The kind with the most components among the folders, else the plain Stable Diffusion."""
    whole = [kind for kind in kinds() if kind.parts <= set(folders)]
    kind = max(whole, key=lambda kind: len(kind.parts)) if whole else kinds()[0]
    if (FOREIGN_PARTS & set(folders)) - kind.parts:
        raise Unusable(f"it holds another kind of model; {only_these()}", TAKE_OTHER)
    return kind


def _remote(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    return RemoteFile(sibling.rfilename, sibling.size or 0, lfs.sha256 if lfs else "")


def _check_disk(repository: str, needed: int) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise UserError(
            f"{repository} needs {needed / 1e9:.1f} GB in {constants.HF_HUB_CACHE}, "
            f"where {free / 1e9:.1f} GB are free",
            "make room, or point HF_HOME at a larger disk",
        )


@contextmanager
def _explained(repository: str, *, begun: bool = False, instead: str = INSTEAD) -> Iterator[None]:
    """Turn what the hub's client raises into Unusable or UserError; `begun`: files are coming."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except (BasError, Unusable):
        raise
    except OfflineModeIsEnabled as error:
        raise UserError(
            "cannot reach the model hub: HF_HUB_OFFLINE is set",
            f"unset it, or {instead}",
        ) from error
    except GatedRepoError as error:
        raise Unusable(
            "it asks to accept its licence first",
            "accept it on the repository's page and sign in with `hf auth login`",
        ) from error
    except DisabledRepoError as error:
        raise Unusable("it is disabled on the hub", TAKE_OTHER) from error
    except RepositoryNotFoundError as error:
        raise Unusable(
            "the hub has no such repository (removed or private)",
            "check the name; for a private one sign in with `hf auth login`",
        ) from error
    except Exception as error:
        # The client lets many exceptions of its HTTP library through; all mean no answer.
        _raise_unreachable(repository, error, begun, instead)
    finally:
        logging.set_verbosity(verbosity)


def _raise_unreachable(repository: str, error: Exception, begun: bool, instead: str) -> NoReturn:
    answered = isinstance(error, HfHubHTTPError)
    cause = error if answered else error.__cause__ or error
    status = error.response.status_code if answered else None
    first = (str(cause).strip().splitlines() or [""])[0]
    told = re.sub(r"^\[Errno -?\d+\] ", "", first) or type(cause).__name__
    reason = f"it answered {status}" if status else told
    if begun:
        raise UserError(
            f"the download of {repository} broke off ({reason})",
            "give the command again: it goes on where it stopped",
        ) from error
    raise UserError(
        f"cannot reach the model hub for {repository} ({reason})", f"offline: {instead}"
    ) from error


def _progress_class(repository: str, total: int, report: Report) -> type[tqdm[Any]]:
    """A tqdm that shows nothing and reports the bytes on disk as Progress events.

    The client makes several bars and feeds them from several threads; the bar of bytes that is
    furthest counts.
    """

    class Reporter(tqdm):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
        guard: ClassVar[threading.Lock] = threading.Lock()
        furthest: ClassVar[int] = 0
        last: ClassVar[float] = 0.0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **(kwargs | {"disable": False}))

        def display(self, *_args: Any, **_kwargs: Any) -> None:
            return None

        def clear(self, *_args: Any, **_kwargs: Any) -> None:
            return None

        def close(self) -> None:
            self.disable = True

        def update(self, n: float | None = 1) -> bool | None:
            self.n += n or 0
            if self.unit == "B":
                with Reporter.guard:
                    self._report()
            return None

        def _report(self) -> None:
            now = time.monotonic()
            Reporter.furthest = max(Reporter.furthest, min(int(self.n), total))
            if now - Reporter.last >= REPORT_SECONDS:
                Reporter.last = now
                report(
                    Progress(
                        stage="download", done=Reporter.furthest, total=total, label=repository
                    )
                )

    return Reporter
