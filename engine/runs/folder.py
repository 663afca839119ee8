"""Where things lie in a run folder, and what a run is doing: the single source of truth.

    RUN/ run.toml  scene/  events.jsonl  previews/  checkpoints/  concepts/  host.log  host.pid

Everything here works without torch and without a live host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import platformdirs
import tomli_w
from platformdirs import RuntimeDirWarning

from engine.core.errors import UserError
from engine.runs.events import Event, RunEnded, StepDone, from_line

State = Literal["new", "training", "paused", "finished", "stopped", "failed", "interrupted"]
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def home() -> Path:
    """The folder of all runs and caches: `$BAS_HOME`, else the platform's data folder."""
    override = os.environ.get("BAS_HOME")
    return (
        Path(override).expanduser() if override else Path(platformdirs.user_data_dir("bas", False))
    )


def runs_dir() -> Path:
    """The folder that holds one folder per run."""
    return home() / "runs"


def cache_dir() -> Path:
    """Things that can be made again: prior pictures, encodings."""
    return home() / "cache"


@dataclass(frozen=True)
class RunDir:
    """The paths of one run."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> Path:
        """run.toml: settings, base model, concepts, versions."""
        return self.path / "run.toml"

    @property
    def scene(self) -> Path:
        """image.png and masks/<name>.png, as `engine.scenes.scene` wrote them."""
        return self.path / "scene"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def previews(self) -> Path:
        return self.path / "previews"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def concepts(self) -> Path:
        """The result: token rows and weight changes."""
        return self.path / "concepts"

    @property
    def pictures(self) -> Path:
        """Where generated pictures go unless the person names another folder."""
        return self.path / "pictures"

    @property
    def log(self) -> Path:
        return self.path / "host.log"

    @property
    def pid_file(self) -> Path:
        return self.path / "host.pid"


@dataclass(frozen=True, kw_only=True)
class ConceptEntry:
    """A concept as run.toml names it."""

    token: str
    name: str
    initializer: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """run.toml as an object."""

    name: str
    created: float
    base: str
    """What the person asked for: a base name, a folder, a file or a hub id."""
    scene_source: str
    concepts: tuple[ConceptEntry, ...]
    settings: dict[str, Any]
    """The settings that differ from the defaults, dotted: recipe, TOML file and --set merged."""
    method: str = "break-a-scene"
    base_hash: str = ""
    """sha256 of the UNet's weights, filled in by the host."""
    scene_hash: str = ""
    versions: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """One line of the run list."""

    run: RunDir
    state: State
    base: str
    concepts: tuple[ConceptEntry, ...]
    created: float
    step: int
    total_steps: int
    phase: int
    loss: float | None
    message: str = ""


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


def write_manifest(run: RunDir, manifest: Manifest) -> None:
    """Write run.toml in one piece."""
    table: dict[str, Any] = {
        "run": {
            "name": manifest.name,
            "created": manifest.created,
            "base": manifest.base,
            "base_hash": manifest.base_hash,
            "method": manifest.method,
            "scene_source": manifest.scene_source,
            "scene_hash": manifest.scene_hash,
        },
        "versions": manifest.versions or {},
        "concepts": [vars(concept) for concept in manifest.concepts],
        "settings": manifest.settings,
    }
    write_atomic(run.manifest, tomli_w.dumps(table).encode())


def read_manifest(run: RunDir) -> Manifest:
    """Read run.toml; raises UserError when it is missing or damaged."""
    try:
        table = tomllib.loads(run.manifest.read_text(encoding="utf-8"))
        head = table["run"]
        return Manifest(
            name=head["name"],
            created=head["created"],
            base=head["base"],
            base_hash=head.get("base_hash", ""),
            method=head.get("method", "break-a-scene"),
            scene_source=head.get("scene_source", ""),
            scene_hash=head.get("scene_hash", ""),
            versions=table.get("versions", {}),
            concepts=tuple(ConceptEntry(**entry) for entry in table["concepts"]),
            settings=table.get("settings", {}),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{run.path} is no readable run folder ({error})", "`bas runs` lists the runs"
        ) from error


def host_pid(run: RunDir) -> int | None:
    """Process id of the run's live host, or None.

    host.pid also holds the process's start time, so a recycled id is not taken for the host.
    """
    try:
        record = json.loads(run.pid_file.read_text())
        pid = int(record["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    started = process_start(pid)
    return pid if started is None or started == record.get("started") else None


def process_start(pid: int) -> str | None:
    """An identifier of the process's start; None where the platform has no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    # A zombie still answers kill(pid, 0), but it is no host any more.
    return "zombie" if fields[0] == "Z" else fields[19]


def read_events(run: RunDir, from_seq: int = 0) -> list[Event]:
    """The events on disk with `seq >= from_seq`; a torn last line and unknown kinds are skipped."""
    events: list[Event] = []
    try:
        lines = run.events.read_bytes().split(b"\n")
    except OSError:
        return events
    for line in lines:
        if not line:
            continue
        try:
            event = from_line(line)
        except UserError:
            continue
        if event is not None and event.seq >= from_seq:
            events.append(event)
    return events


def describe(run: RunDir) -> RunInfo:
    """What `bas runs` says of a run: manifest, last events, live or not."""
    manifest = read_manifest(run)
    step, total, phase, loss, message = 0, 0, 0, None, ""
    state: State = "new"
    paused = False
    for record in _tail_records(run.events):
        kind = record.get("kind")
        if kind == StepDone.kind:
            step, phase, loss = record["step"], record["phase"], record["loss"]
            state = "training"
        elif kind == "run_started":
            total, step, state, paused = record["total_steps"], record["step"], "training", False
        elif kind == "paused":
            paused = True
        elif kind == "resumed":
            paused = False
        elif kind == RunEnded.kind:
            state, message = record["outcome"], record["message"]
    alive = host_pid(run) is not None
    if state == "training" and not alive:
        state = "interrupted"
    elif state == "training" and paused:
        state = "paused"
    elif alive and state in ("new", "stopped", "failed"):
        state = "training"
    return RunInfo(
        run=run, state=state, base=manifest.base, concepts=manifest.concepts,
        created=manifest.created, step=step, total_steps=total or _planned_steps(manifest),
        phase=phase, loss=loss, message=message,
    )  # fmt: skip


def remove_run(run: RunDir) -> None:
    """Delete a run folder; raises UserError while its host lives."""
    if host_pid(run) is not None:
        raise UserError(f"{run.name} is training", f"stop it first: bas stop {run.name}")
    shutil.rmtree(run.path)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def socket_path(run: RunDir) -> Path:
    """The control socket: in the user's runtime folder, short enough for every platform."""
    import hashlib

    digest = hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it falls back to the temporary folder, which is as good here.
        warnings.simplefilter("ignore", RuntimeDirWarning)
        folder = Path(platformdirs.user_runtime_dir("bas", False))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"bas-{os.getuid()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{digest}.sock"


def _created(run: RunDir) -> float:
    try:
        return float(tomllib.loads(run.manifest.read_text())["run"]["created"])
    except (OSError, ValueError, KeyError, tomllib.TOMLDecodeError):
        return 0.0


def _planned_steps(manifest: Manifest) -> int:
    return sum(int(manifest.settings.get(f"phase{k}.steps", 400)) for k in (1, 2))


def _tail_records(path: Path, size: int = 65536) -> list[dict[str, Any]]:
    """First line and the last `size` bytes of a log, parsed; damaged lines are skipped."""
    try:
        with path.open("rb") as file:
            head = file.read(size)
            end = file.seek(0, os.SEEK_END)
            start = max(len(head), end - size)
            file.seek(start)
            tail = file.read()
    except OSError:
        return []
    if start > len(head):
        tail = tail.partition(b"\n")[2]
        head = head.rpartition(b"\n")[0] + b"\n"
    records: list[dict[str, Any]] = []
    for line in (head + tail).split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(cast(dict[str, Any], record))
    return records
