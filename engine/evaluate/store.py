"""One SQLite file for the jobs and scores; the driver alone writes it. No torch here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.core.errors import UserError

JobState = Literal["pending", "running", "done", "failed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, scene TEXT NOT NULL, method TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', seconds REAL NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '', UNIQUE (scene, method)
);
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id), number INTEGER NOT NULL,
    subset TEXT NOT NULL, prompt INTEGER NOT NULL, image INTEGER NOT NULL, words TEXT NOT NULL,
    seed INTEGER NOT NULL, path TEXT NOT NULL, UNIQUE (job, number)
);
CREATE TABLE IF NOT EXISTS scores (
    picture INTEGER NOT NULL REFERENCES pictures (id), scorer TEXT NOT NULL, axis TEXT NOT NULL,
    concept INTEGER NOT NULL, value REAL NOT NULL, found INTEGER NOT NULL,
    PRIMARY KEY (picture, scorer, axis, concept)
);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scene trained by one method."""

    id: int
    scene: str
    method: str
    state: JobState
    seconds: float
    message: str


class ScoreRow(NamedTuple):
    """One measure with what it belongs to."""

    scene: str
    method: str
    number: int
    subset: tuple[int, ...]
    prompt: int
    image: int
    words: str
    path: str
    scorer: str
    axis: str
    concept: int
    value: float
    found: bool


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction: committed at the end of the block, else rolled back."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        # A write-ahead log survives a kill at any moment and lets viewers read meanwhile.
        connection.execute("PRAGMA journal_mode = WAL")
        yield connection


def create(path: Path, scenes: Sequence[str], methods: Sequence[str]) -> None:
    """Make the tables and the jobs that are not there yet, scene by scene."""
    with connect(path) as connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT OR IGNORE INTO jobs (scene, method) VALUES (?, ?)",
            [(scene, method) for scene in scenes for method in methods],
        )


def jobs(path: Path) -> list[Job]:
    """All jobs in their order; raises UserError where there is no store."""
    if not path.is_file():
        raise UserError(f"{path.parent.name} has not started yet", "start it: bas eval run")
    with connect(path) as connection:
        rows = connection.execute(
            "SELECT id, scene, method, state, seconds, message FROM jobs ORDER BY id"
        ).fetchall()
    keys = ("id", "scene", "method", "state", "seconds", "message")
    return [Job(**dict(zip(keys, row, strict=True))) for row in rows]


def set_state(path: Path, job: int, state: JobState, message: str = "") -> None:
    """Note what became of a job."""
    with connect(path) as connection:
        connection.execute(
            "UPDATE jobs SET state = ?, message = ? WHERE id = ?", (state, message, job)
        )


def reset_unfinished(path: Path) -> None:
    """Running and failed jobs wait again: nobody works at them any more."""
    with connect(path) as connection:
        connection.execute("UPDATE jobs SET state = 'pending', message = '' WHERE state != 'done'")


def add_result(path: Path, job: int, result: dict[str, Any]) -> None:
    """Take in a job's result (`engine.evaluate.job` wrote it), replacing an older one."""
    with connect(path) as connection:
        connection.execute(
            "DELETE FROM scores WHERE picture IN (SELECT id FROM pictures WHERE job = ?)", (job,)
        )
        connection.execute("DELETE FROM pictures WHERE job = ?", (job,))
        for entry in result["pictures"]:
            cursor = connection.execute(
                "INSERT INTO pictures (job, number, subset, prompt, image, words, seed, path)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job, entry["number"], json.dumps(entry["subset"]), entry["prompt"],
                    entry["image"], entry["words"], entry["seed"], entry["path"],
                ),
            )  # fmt: skip
            picture = cursor.lastrowid
            connection.executemany(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (picture, m["scorer"], m["axis"], m["concept"], m["value"], int(m["found"]))
                    for m in entry["measures"]
                ],
            )
        for key, value in result["facts"].items():
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, str(value)))
        connection.execute(
            "UPDATE jobs SET state = 'done', message = '', seconds = ? WHERE id = ?",
            (result["seconds"], job),
        )


def scores(path: Path) -> list[ScoreRow]:
    """Every score, in an order that does not depend on which job ended first."""
    with connect(path) as connection:
        rows = connection.execute(
            "SELECT scene, method, number, subset, prompt, image, words, path, scorer, axis,"
            " concept, value, found FROM scores JOIN pictures ON pictures.id = picture"
            " JOIN jobs ON jobs.id = pictures.job"
            " ORDER BY jobs.id, number, scorer, axis, concept"
        ).fetchall()
    made: list[ScoreRow] = []
    for row in rows:
        fields = dict(zip(ScoreRow._fields, row, strict=True))
        subset, found = tuple(json.loads(fields["subset"])), bool(fields["found"])
        made.append(ScoreRow(**fields | {"subset": subset, "found": found}))
    return made


def facts(path: Path) -> dict[str, str]:
    """Versions and devices that the jobs noted."""
    with connect(path) as connection:
        return dict(connection.execute("SELECT key, value FROM facts ORDER BY key").fetchall())
