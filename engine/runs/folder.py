"""Where things lie: the folder of all runs, and the paths within one run's folder.

    RUN/ run.toml  scene/  events.jsonl  previews/  checkpoints/  concepts/  host.log  host.pid

The folder is the single source of truth of a run; everything about it works without torch and
without a live host.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.core.process_environment import home_environment


def home() -> Path:
    """The folder of all runs and caches: `$BAS_HOME`, else the platform's data folder.

    Always absolute: what is recorded and handed to other processes holds in every folder.
    """
    return Path(home_environment().get("BAS_HOME") or platformdirs.user_data_dir("bas", False))


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
    def exports(self) -> Path:
        """Where files for other programs go unless the person names another folder."""
        return self.path / "exports"

    @property
    def log(self) -> Path:
        return self.path / "host.log"

    @property
    def pid_file(self) -> Path:
        return self.path / "host.pid"


def region_file(pictures: Path, digest: str) -> Path:
    """A region of an edited photo, in the folder of the pictures that were made of it."""
    return pictures / "regions" / f"{digest}.png"


def edited_photo_file(pictures: Path, name: str, digest: str) -> Path:
    """The photo itself, as it was read; `name` without a suffix."""
    return pictures / "photos" / digest / f"{name}.png"


def added_files(pictures: Path) -> Path:
    """Where the LoRA and embedding files lie that those pictures were drawn with."""
    return pictures / "added.json"


def has_concepts(folder: Path) -> bool:
    """Whether a run's `concepts` folder holds a result."""
    return (folder / "concepts.json").is_file()
