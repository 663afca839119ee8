"""run.toml: what a run was asked to do, and on what."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomli_w

from engine.core.errors import UserError
from engine.core.plain_text import plain_values
from engine.core.prompt_grammar import BACKGROUND_NAMES, Grammar
from engine.core.settings import build_config, flatten
from engine.files.atomic import write_atomic
from engine.runs.folder import RunDir

GRAMMAR = ("prompt_join", "prompt_article", "prompt_nouns")
"""Settings that a run's `Grammar` is made of."""


@dataclass(frozen=True, kw_only=True)
class ConceptEntry:
    """A concept as run.toml names it."""

    token: str
    name: str
    initializer: str

    @property
    def is_background(self) -> bool:
        """Whether it is what surrounds the things; prompts then name it with `at`."""
        return self.name in BACKGROUND_NAMES


def background_of(concepts: Sequence[ConceptEntry]) -> int | None:
    """Which of the concepts is the background; None where none is."""
    return next((k for k, concept in enumerate(concepts) if concept.is_background), None)


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

    @property
    def grammar(self) -> Grammar:
        """How its prompts speak of its things."""
        # Of its own settings alone: another one that this version does not know is no matter here.
        settings = flatten(self.settings)
        return build_config({key: settings[key] for key in GRAMMAR if key in settings}).grammar


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
        table = plain_values(tomllib.loads(run.manifest.read_text(encoding="utf-8")))
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
