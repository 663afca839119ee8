"""From what a person names to files on this disk: the base model's folder, hash and licence."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.core.errors import UserError
from engine.models.detection import check_file, check_folder, configs_beside
from engine.models.hashing import OnBytes, weights_sha256
from engine.models.hub import REPORT_SECONDS, Unusable, cached_folder, fetch, look_up
from engine.models.kinds import FamilyKind
from engine.models.names import BASE_MODELS, BaseModel, check_base
from engine.models.weight_files import FULL, HALF, folder_weights
from engine.runs.events import Event, Notice, Progress

Report = Callable[[Event], None]


class Resolved(NamedTuple):
    """A base model on this disk."""

    name: str
    path: Path
    """A diffusers folder, or a single safetensors file."""
    sha256: str
    """Of the UNet's file, its shards in order, or the whole single file."""
    source: str
    """The repository or path it comes from."""
    licence: str
    """Empty where nothing says it."""
    kind: FamilyKind
    variants: Sequence[str]
    """Precisions of the weights in the order they are wanted."""


def resolve(
    base: str, report: Report, *, half: bool = False, own_vae: bool = False, prediction: str = ""
) -> Resolved:
    """Find the base model on this disk, or fetch it, and say in one notice which it is.

    `half`: half-precision weights are wanted where there are some. `own_vae`: a single file need
    not have one. `prediction`: what the person says that the model predicts. Raises UserError for
    what is no usable base model, and when nothing can be fetched.
    """
    choice = check_base(base, own_vae=own_vae)
    path = Path(choice.recorded)
    variants = HALF if half else FULL
    if choice.kind == "name":
        found = _named(BASE_MODELS[base], report, variants)
    elif choice.kind == "hub":
        found = _hub_id(base, report, variants)
    elif choice.kind == "folder":
        found = _folder(path, report, variants, name=path.name)
    else:
        kind = check_file(path, own_vae=own_vae).kind
        found = Resolved(path.stem, path, _hashed((path,), report), str(path), "", kind, variants)
        if not prediction:
            _warn_of_guess(path, report, own_vae=own_vae)
    report(Notice(level="info", message=describe(base, found)))
    return found


def check_available(base: str) -> None:
    """Raise UserError when `base` has to be fetched and cannot be; fetches nothing, needs no torch.

    Asks the hub only for what is not on this disk, which takes some seconds at worst.
    """
    if check_base(base).kind not in ("name", "hub"):
        return
    model = BASE_MODELS.get(base)
    if model is not None and model.folder is not None:
        return
    repositories = model.repositories if model else (base,)
    if any(cached_folder(repository) is not None for repository in repositories):
        return
    problems: list[tuple[str, Unusable]] = []
    for repository in repositories:
        try:
            look_up(repository, model.unet_sha256 if model else ())
            return
        except Unusable as unusable:
            problems.append((repository, unusable))
    raise _none_usable(base, problems)


def describe(base: str, found: Resolved) -> str:
    """One line on a base model: what, from where, which weights, which licence."""
    title = f", {BASE_MODELS[base].title}" if base in BASE_MODELS else ""
    origin = f" from {found.source}" if found.source != base else ""
    licence = f", licence {found.licence}" if found.licence else ""
    part = "UNet" if found.path.is_dir() else "file"
    return f"base model {base}{title}{origin}, {part} sha256 {found.sha256[:12]}{licence}"


def _named(model: BaseModel, report: Report, variants: Sequence[str]) -> Resolved:
    """An embedded model, or the first of its repositories with the published weights."""
    if model.folder is not None:
        if not model.folder.is_dir():
            raise UserError(f"the embedded model {model.name} is missing", "install bas-tui again")
        check_folder(model.folder)
        return _folder(
            model.folder, report, variants, name=model.name, source=model.name,
            licence=model.licence,
        )  # fmt: skip
    # Whatever lies on this disk comes before any question to the network.
    for repository in model.repositories:
        folder = cached_folder(repository)
        if folder is None:
            continue
        try:
            return _published(model, repository, folder, report, variants)
        except Unusable as unusable:
            _warn(repository, unusable, report)
    problems: list[tuple[str, Unusable]] = []
    for repository in model.repositories:
        try:
            folder = fetch(repository, model.unet_sha256, report, variants)
            return _published(model, repository, folder, report, variants)
        except Unusable as unusable:
            problems.append((repository, unusable))
            _warn(repository, unusable, report)
    raise _none_usable(model.name, problems)


def _none_usable(base: str, problems: list[tuple[str, Unusable]]) -> UserError:
    if len(problems) == 1:
        repository, unusable = problems[0]
        return UserError(f"{repository} cannot be used: {unusable.problem}", unusable.remedy)
    told = "; ".join(f"{repository}: {unusable.problem}" for repository, unusable in problems)
    return UserError(
        f"no repository of {base} can be used ({told})", "use --base pocket or a local folder"
    )


def _published(
    model: BaseModel, repository: str, folder: Path, report: Report, variants: Sequence[str]
) -> Resolved:
    found = _folder(
        folder, report, variants, name=model.name, source=repository, licence=model.licence
    )
    if model.unet_sha256 and found.sha256 not in model.unet_sha256:
        raise Unusable(
            f"its UNet has sha256 {found.sha256[:12]}, not the published one",
            f"to use it all the same: --base {repository}",
        )
    return found


def _hub_id(repository: str, report: Report, variants: Sequence[str]) -> Resolved:
    folder = cached_folder(repository)
    if folder is None:
        try:
            folder = fetch(repository, (), report, variants)
        except Unusable as unusable:
            raise _none_usable(repository, [(repository, unusable)]) from unusable
    return _folder(folder, report, variants, name=repository.rpartition("/")[2], source=repository)


def _folder(
    folder: Path,
    report: Report,
    variants: Sequence[str],
    *,
    name: str,
    source: str = "",
    licence: str = "",
) -> Resolved:
    kind = check_folder(folder)
    weights = folder_weights(folder, "unet", kind.weights["unet"], variants)
    files = tuple(folder / "unet" / file for file in weights.files)
    return Resolved(
        name,
        folder,
        _hashed(files, report),
        source or str(folder),
        licence or _licence(folder),
        kind,
        variants,
    )


def _hashed(files: tuple[Path, ...], report: Report) -> str:
    return weights_sha256(files, _throttled(report, "hash of the weights"))


def _throttled(report: Report, label: str) -> OnBytes:
    last = time.monotonic()

    def on_bytes(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= REPORT_SECONDS:
            last = now
            report(Progress(stage="load", done=done, total=total, label=label))

    return on_bytes


def _warn(repository: str, unusable: Unusable, report: Report) -> None:
    report(
        Notice(
            level="warning",
            message=f"{repository} is passed over: {unusable.problem}",
            remedy=unusable.remedy,
        )
    )


def _warn_of_guess(path: Path, report: Report, *, own_vae: bool) -> None:
    """Say so where a 2.x file does not tell its prediction type: both kinds have its layout."""
    told = check_file(path, own_vae=own_vae)
    if told.open_clip and not told.prediction and configs_beside(path) is None:
        report(
            Notice(
                level="warning",
                message=f"{path.name} does not say its prediction type: taken as epsilon, 512 px",
                remedy="for a v-prediction model: --set base.prediction=v",
            )
        )


def _licence(folder: Path) -> str:
    """The licence that a model card names in its head; empty without one."""
    try:
        head = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError:
        return ""
    found = re.search(r"^licen[sc]e:[ \t]*['\"]?([\w.+-]+)", head, re.MULTILINE)
    return found.group(1) if found and head.startswith("---") else ""
