"""The runs that there are: names for new ones, the list, one by its name, removal."""

from __future__ import annotations

import os
import re
import shutil
import time
import tomllib
from pathlib import Path

from engine.core.errors import UserError
from engine.runs.folder import RunDir, has_concepts, runs_dir
from engine.runs.liveness import host_pid

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def new_run_dir(name: str | None, stem: str) -> RunDir:
    """A run folder's path that does not exist yet; `stem` names it where `name` is None.

    Raises UserError for a name that is taken or cannot be a folder's name.
    """
    root = runs_dir()
    if name is not None:
        if not NAME_PATTERN.fullmatch(name):
            raise UserError(
                f"{name!r} cannot name a run", "use letters, digits, dot, dash, underscore"
            )
        if (root / name).exists():
            raise UserError(
                f"there is already a run {name!r}", f"choose another --name or `bas rm {name}`"
            )
        return RunDir(root / name)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower()[:40] or "run"
    stamp = time.strftime("%m%d-%H%M%S")
    candidate, count = root / f"{stem}-{stamp}", 2
    while candidate.exists():
        candidate, count = root / f"{stem}-{stamp}-{count}", count + 1
    return RunDir(candidate)


def list_runs() -> list[RunDir]:
    """All runs, newest first."""
    root = runs_dir()
    if not root.is_dir():
        return []
    runs = [RunDir(path) for path in root.iterdir() if (path / "run.toml").is_file()]
    return sorted(runs, key=lambda run: (_created(run), run.name), reverse=True)


def find_run(name: str | None) -> RunDir:
    """The run of that name or unique prefix, or a run folder's path; None: the newest."""
    runs = list_runs()
    if name is None:
        if not runs:
            raise UserError(
                "there are no runs yet", "start one with `bas demo` or `bas train SCENE --masks M`"
            )
        return runs[0]
    as_path = Path(name).expanduser()
    if os.sep in name and (as_path / "run.toml").is_file():
        return RunDir(as_path.resolve())
    matches = [run for run in runs if run.name == name] or [
        run for run in runs if run.name.startswith(name)
    ]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise UserError(f"there is no run {name!r}", "`bas runs` lists them")
    names = ", ".join(run.name for run in matches[:5])
    raise UserError(f"{name!r} fits several runs: {names}", "type more of the name")


def find_learned_run(name: str | None) -> RunDir:
    """As `find_run`, to draw from; None: the newest that has learned something.

    Where none has, the newest one: what it lacks is then said of it.
    """
    if name is None:
        for run in list_runs():
            if has_concepts(run.concepts):
                return run
    return find_run(name)


def remove_run(run: RunDir) -> None:
    """Delete a run folder; raises UserError while its host lives."""
    if host_pid(run) is not None:
        raise UserError(f"{run.name} is training", f"stop it first: bas stop {run.name}")
    shutil.rmtree(run.path)


def drop_checkpoints(run: RunDir, *, keep: bool) -> None:
    """Remove the checkpoints of a finished run unless its settings keep them.

    A host that was killed just after its last word leaves them.
    """
    if not keep:
        shutil.rmtree(run.checkpoints, ignore_errors=True)


def _created(run: RunDir) -> float:
    try:
        return float(tomllib.loads(run.manifest.read_text())["run"]["created"])
    except (OSError, ValueError, KeyError, tomllib.TOMLDecodeError):
        return 0.0
