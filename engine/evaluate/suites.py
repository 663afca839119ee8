"""Suites: what an evaluation draws and how it is scored, as TOML files. No torch here."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from engine.core.errors import UserError
from engine.core.methods import METHODS
from engine.core.prompt_grammar import Join, join_names
from engine.core.settings import build_config, flatten

SUITES_DIR = Path(__file__).parent / "suites"
TOKENS = "{tokens}"

Subsets = Literal["power set", "singles and all", "all"]
SizeName = Literal["smoke", "small", "full"]
SCORERS = ("pocket-prompt", "pocket-identity", "copy", "clip", "dino")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt with TOKENS where the concepts go."""

    text: str
    place: str = ""
    """The place it names, in the words of the suite's scorers."""


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """A scene of a suite, in the form that `engine.scenes.scene.load_scene` reads."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of a suite runs."""

    scenes: int
    prompts: int
    images: int
    """Pictures for each prompt and subset."""
    methods: tuple[str, ...] = tuple(METHODS)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted settings on top of the base model's recipe."""

    def __post_init__(self) -> None:
        for key in ("scenes", "prompts", "images"):
            if getattr(self, key) < 1:
                raise UserError(f"a size needs 1 or more {key}", "mend the suite's file")
        for method in self.methods:
            if method not in METHODS:
                raise UserError(f"there is no method {method!r}", f"use {', '.join(METHODS)}")
        build_config(self.settings)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite's file as an object."""

    name: str
    title: str
    base: str
    scorers: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    sizes: Mapping[str, Size]
    scenes: tuple[SceneEntry, ...] = ()
    """Empty where the scenes come from a list (`bas eval select`)."""
    subsets: Subsets = "power set"
    threads: int = 0
    """Threads of one job; 0: the machine's cores shared by the jobs."""
    path: Path = Path()

    def __post_init__(self) -> None:
        unknown = [name for name in self.scorers if name not in SCORERS]
        if unknown:
            raise UserError(f"there is no scorer {unknown[0]!r}", f"use {', '.join(SCORERS)}")
        if self.subsets not in get_args(Subsets):
            raise UserError(
                f"subsets cannot be {self.subsets!r}", f"use {', '.join(get_args(Subsets))}"
            )
        for prompt in self.prompts:
            if TOKENS not in prompt.text:
                raise UserError(f"the prompt {prompt.text!r} has no {TOKENS}", "add it")
        if not self.prompts or not self.sizes:
            raise UserError(f"the suite {self.name} has no prompts or no sizes", "add some")


def suite_names() -> tuple[str, ...]:
    """Suites that ship with the package."""
    return tuple(sorted(path.parent.name for path in SUITES_DIR.glob("*/suite.toml")))


def read_suite(name: str) -> Suite:
    """The suite of a name of `suite_names` or of a TOML file; raises UserError."""
    path = SUITES_DIR / name / "suite.toml"
    if name not in suite_names():
        path = Path(name).expanduser()
        if path.suffix != ".toml" or not path.is_file():
            raise UserError(
                f"there is no suite {name!r}",
                f"take one of {', '.join(suite_names())}, or a suite's .toml file",
            )
    try:
        return _parse(tomllib.loads(path.read_text(encoding="utf-8")), path)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the suite {path}: {error}", "mend the file") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the suite {path} is incomplete or has an unknown key ({error})",
            f"compare it with {SUITES_DIR / 'pocket' / 'suite.toml'}",
        ) from error


def subsets(count: int, rule: Subsets) -> tuple[tuple[int, ...], ...]:
    """Sets of concepts to draw, by size; for two: (0,), (1,), (0, 1)."""
    everything = tuple(range(count))
    singles = tuple((index,) for index in everything)
    if rule == "all" or count == 1:
        return (everything,)
    if rule == "singles and all":
        return (*singles, everything)
    sizes = (itertools.combinations(everything, size) for size in range(1, count + 1))
    return tuple(itertools.chain.from_iterable(sizes))


def fill(text: str, words: Sequence[str], join: Join = "and") -> str:
    """The prompt for tokens or class words, joined as in training."""
    return text.replace(TOKENS, join_names(words, join))


def _parse(table: dict[str, Any], path: Path) -> Suite:
    values = dict(table)
    images = values.pop("images", 2)
    sizes: dict[str, Size] = {}
    for name, entry in values.pop("sizes").items():
        size = {"images": images, **entry, "settings": flatten(entry.get("settings", {}))}
        if "methods" in entry:
            size["methods"] = tuple(entry["methods"])
        sizes[name] = Size(**size)
    scenes = tuple(
        SceneEntry(folder=path.parent / entry["folder"]) for entry in values.pop("scenes", [])
    )
    prompts = tuple(Prompt(**entry) for entry in values.pop("prompts"))
    scorers = tuple(values.pop("scorers"))
    return Suite(**values, prompts=prompts, scorers=scorers, sizes=sizes, scenes=scenes, path=path)
