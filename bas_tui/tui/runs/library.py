"""The list of runs for the Runs screen: read cheaply again and again, filtered, sorted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from engine.core.errors import BasError
from engine.runs.description import Descriptions, RunInfo
from engine.runs.folder import RunDir
from engine.runs.library import list_runs

SORTS = ("when", "name", "loss", "progress")
LIVE = ("training", "paused")


class Entry(NamedTuple):
    """A run, or a run folder that cannot be read (`info` None, `problem` says why)."""

    run: RunDir
    info: RunInfo | None
    problem: str = ""

    @property
    def state(self) -> str:
        """`training`, `finished`, ... or `damaged`."""
        return self.info.state if self.info is not None else "damaged"

    @property
    def live(self) -> bool:
        """Whether its host is at work."""
        return self.state in LIVE


class Library:
    """Reads the runs; a run whose files did not change is not read again."""

    def __init__(self) -> None:
        self._describe = Descriptions()

    def read(self) -> list[Entry]:
        """All runs, newest first. Takes a few file lookups for each run that did not change."""
        return [self._entry(run) for run in list_runs()]

    def _entry(self, run: RunDir) -> Entry:
        try:
            return Entry(run, self._describe(run))
        except BasError as error:
            return Entry(run, None, error.message)


def select(entries: Sequence[Entry], words: str, sort: str) -> list[Entry]:
    """Entries in which every word of the filter occurs, sorted; live runs come first."""
    wanted = words.lower().split()
    found = [entry for entry in entries if all(word in _text(entry) for word in wanted)]
    keys = {
        "name": lambda entry: entry.run.name,
        "loss": lambda entry: entry.info.loss if _has_loss(entry) else math.inf,
        "progress": lambda entry: -progress(entry),
    }
    if sort in keys:
        found.sort(key=keys[sort])
    return sorted(found, key=lambda entry: not entry.live)


def _has_loss(entry: Entry) -> bool:
    return entry.info is not None and entry.info.loss is not None and math.isfinite(entry.info.loss)


def progress(entry: Entry) -> float:
    """Share of the steps that is done, 0..1."""
    info = entry.info
    return info.step / info.total_steps if info is not None and info.total_steps else 0.0


def _text(entry: Entry) -> str:
    info = entry.info
    words = [entry.run.name, entry.state, "live" if entry.live else ""]
    if info is not None:
        words += [info.base, *(concept.name for concept in info.concepts)]
        words += [concept.token for concept in info.concepts]
    return " ".join(words).lower()


def folder_size(run: RunDir) -> int:
    """Bytes of all files of a run."""
    total = 0
    for path in run.path.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue
    return total


def megabytes(size: int) -> str:
    """`640 kB`, `12 MB`, `3.4 GB`."""
    if size < 1_000_000:
        return f"{size / 1000:.0f} kB"
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
