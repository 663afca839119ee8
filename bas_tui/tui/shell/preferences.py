"""What the application remembers between two starts: theme, view, filters, the last run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import platformdirs
from textual.app import App
from textual.timer import Timer

from engine.files.atomic import write_atomic
from engine.runs.folder import home

STORE_SECONDS = 0.5


def config_dir() -> Path:
    """Folder of the keymap and the preferences; inside `$BAS_HOME` where that is set."""
    if os.environ.get("BAS_HOME"):
        return home() / "config"
    return Path(platformdirs.user_config_dir("bas", False))


@dataclass(frozen=True, kw_only=True)
class Prefs:
    """Preferences; every field has a default and unknown fields of a newer version are ignored."""

    theme: str = "bas-dark"
    last_run: str = ""
    runs_filter: str = ""
    runs_sort: str = "when"
    chart_log: bool = True
    chart_raw: bool = True
    chart_parts: tuple[str, ...] = ("loss",)
    blocks: str = ""
    """What pictures are made of: `half`, `quadrant`, `sextant` or `pixels`; empty: what fits."""
    lower: str = "both"
    """Below the chart: `both`, `preview` or `log`."""
    train_focus: str = ""
    """Part of the Train screen that has the whole screen; empty: all parts."""
    scene: str = ""
    """What the Scene screen remembers (JSON)."""
    compose: str = ""
    """What the Compose screen remembers (JSON)."""


def _path() -> Path:
    return config_dir() / "tui.json"


def load() -> Prefs:
    """The stored preferences; defaults for what is missing, damaged or of another type."""
    try:
        record = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Prefs()
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Prefs):
        value = record.get(field.name) if isinstance(record, dict) else None
        if isinstance(value, list):
            value = tuple(str(item) for item in value)
        if type(value) is type(field.default):
            values[field.name] = value
    return Prefs(**values)


def save(prefs: Prefs) -> None:
    """Store the preferences; a read-only home is no reason to fail."""
    with contextlib.suppress(OSError):
        write_atomic(_path(), json.dumps(dataclasses.asdict(prefs), indent=1).encode())


class Store:
    """The preferences of a running application; stored a moment after a change, so that no key
    waits for the disk."""

    def __init__(self, app: App[Any], prefs: Prefs) -> None:
        self.now = prefs
        self._app = app
        self._timer: Timer | None = None
        self._lock = Lock()
        self._stored = prefs

    def use(self, prefs: Prefs) -> None:
        """Take other preferences."""
        self.now = prefs
        if self._timer is None:
            self._timer = self._app.set_timer(STORE_SECONDS, self._store)

    def flush(self) -> None:
        """Store now what is not stored yet."""
        # One at a time, and always the newest: a slow thread must not come after it with old ones.
        with self._lock:
            if self.now != self._stored:
                self._stored = self.now
                save(self._stored)

    def _store(self) -> None:
        self._timer = None
        self._app.run_worker(self.flush, thread=True, group="prefs")
