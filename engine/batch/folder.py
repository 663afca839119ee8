"""A batch's folder: which scenes, which runs. No torch here.

BATCH/ batch.toml  jobs.json  driver.log  driver.lock  report.html

The runs are ordinary ones in the folder of all runs; what they are doing is told by their own
folders, so nothing here can disagree with them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from engine.core.errors import UserError
from engine.files.atomic import write_atomic
from engine.jobs.driver import Driver
from engine.runs.folder import RunDir, home, runs_dir


@dataclass(frozen=True)
class BatchDir:
    """The paths of one batch."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        """batch.toml: the scenes and their runs."""
        return self.path / "batch.toml"

    @property
    def jobs(self) -> Path:
        """What the driver is at (`Jobs`)."""
        return self.path / "jobs.json"

    @property
    def log(self) -> Path:
        """What the driver said."""
        return self.driver.log

    @property
    def driver(self) -> Driver:
        """Who drives it, now or never."""
        busy = UserError(
            f"the batch {self.name} is running already", "look at it: bas batch FOLDER --watch"
        )
        return Driver(package="engine.batch", folder=self.path, busy=busy)

    @property
    def report(self) -> Path:
        return self.path / "report.html"


@dataclass(frozen=True, kw_only=True)
class BatchScene:
    """A scene and the run that learns it."""

    name: str
    source: str
    """The picture or the folder that the person gave."""
    run_name: str

    @property
    def run(self) -> RunDir:
        return RunDir(runs_dir() / self.run_name)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """batch.toml as an object."""

    source: str
    """The folder of scenes."""
    scenes: tuple[BatchScene, ...]


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """What the driver is at; written by it alone."""

    started: float = 0.0
    """Wall clock at the driver's start, seconds."""
    steps: int = 0
    """Steps that all runs together had made by then."""
    running: tuple[str, ...] = ()
    """Scenes that an executor has."""
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Scenes whose process failed, with its last words."""
    preparing: bool = False
    """Whether prior pictures are made that the runs share."""


def batches_dir() -> Path:
    """The folder of all batches."""
    return home() / "batches"


def list_batches() -> list[BatchDir]:
    """All batches, the newest first."""
    root = batches_dir()
    found = list(root.glob("*/batch.toml")) if root.is_dir() else []
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [BatchDir(path.parent) for path in found]


def write_batch(folder: BatchDir, batch: Batch) -> None:
    """Write batch.toml in one piece."""
    table = {"batch": {"source": batch.source}, "scenes": [asdict(s) for s in batch.scenes]}
    write_atomic(folder.plan, tomli_w.dumps(table).encode())


def read_batch(folder: BatchDir) -> Batch:
    """Read batch.toml; raises UserError when it is missing or damaged."""
    try:
        table: dict[str, Any] = tomllib.loads(folder.plan.read_text(encoding="utf-8"))
        scenes: Sequence[dict[str, str]] = table["scenes"]
        return Batch(
            source=str(table["batch"]["source"]),
            scenes=tuple(
                BatchScene(
                    name=str(entry["name"]),
                    source=str(entry["source"]),
                    # A name, never a path: runs lie in the folder of all runs.
                    run_name=Path(entry["run_name"]).name,
                )
                for entry in scenes
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder.path} is no readable batch ({error})", "start it anew: bas batch FOLDER"
        ) from error


def write_jobs(folder: BatchDir, jobs: Jobs) -> None:
    """Write jobs.json in one piece."""
    write_atomic(folder.jobs, json.dumps(asdict(jobs)).encode())


def read_jobs(folder: BatchDir) -> Jobs:
    """Read jobs.json; an empty one where it is missing or damaged."""
    try:
        record: dict[str, Any] = json.loads(folder.jobs.read_text(encoding="utf-8"))
        return Jobs(
            started=float(record["started"]),
            steps=int(record["steps"]),
            running=tuple(map(str, record["running"])),
            failed={str(key): str(value) for key, value in record["failed"].items()},
            preparing=record["preparing"] is True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Jobs()
