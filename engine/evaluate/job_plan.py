"""An evaluation's folder and its frozen plan. No torch here.

EVALUATION/ evaluation.toml  scores.sqlite  scenes/<scene>/  runs/<scene>--<method>/  report/
            driver.log  driver.lock
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from engine.core.errors import UserError
from engine.core.methods import METHODS, method_settings
from engine.core.prompt_grammar import Join
from engine.core.settings import build_config
from engine.evaluate import store
from engine.evaluate.package_versions import versions
from engine.evaluate.suites import Prompt, Size, Subsets, Suite, fill, subsets
from engine.files.atomic import write_atomic
from engine.jobs.driver import Driver
from engine.models.facts import recipe_settings
from engine.runs.folder import RunDir, home
from engine.runs.library import NAME_PATTERN
from engine.scenes.scene import Scene, load_scene, save_scene

PLAN_FILE = "evaluation.toml"
STORE_FILE = "scores.sqlite"


@dataclass(frozen=True)
class EvaluationDir:
    """The paths of one evaluation."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        return self.path / PLAN_FILE

    @property
    def store(self) -> Path:
        """Jobs and scores."""
        return self.path / STORE_FILE

    @property
    def scenes(self) -> Path:
        """The scenes as they are trained on."""
        return self.path / "scenes"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def log(self) -> Path:
        """What driver and jobs said."""
        return self.driver.log

    @property
    def driver(self) -> Driver:
        """Who drives it, now or never."""
        busy = UserError(
            f"the evaluation {self.name} is running already",
            f"look at it: bas eval watch {self.name}",
        )
        return Driver(package="engine.evaluate", folder=self.path, busy=busy)

    def run(self, scene: str, method: str) -> RunDir:
        """The run folder of a job."""
        return RunDir(self.path / "runs" / f"{scene}--{method}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides an evaluation's numbers."""

    suite: str
    size: str
    title: str
    base: str
    seed: int
    methods: tuple[str, ...]
    scenes: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    images: int
    subsets: Subsets
    scorers: tuple[str, ...]
    threads: int
    settings: Mapping[str, Any]
    """Dotted, on top of the base model's recipe; every method builds on them."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where to find what the scorers load, by scorer: a local folder or a hub id."""
    scene_list: str = ""
    """sha256 of the list the scenes were taken from; empty for a suite's own scenes."""


class ShotPlan(NamedTuple):
    """One picture to draw."""

    number: int
    subset: tuple[int, ...]
    prompt: int
    image: int
    tokens: str
    """The prompt with tokens."""
    words: str
    """The prompt with class words."""
    place: str
    seed: int


class SceneSource(NamedTuple):
    """A scene that an evaluation takes in: its name and what it holds."""

    name: str
    scene: Scene


def evaluations_dir() -> Path:
    """The folder of all evaluations."""
    return home() / "evaluations"


def make_plan(
    suite: Suite,
    size: str,
    *,
    base: str | None = None,
    seed: int = 0,
    methods: Sequence[str] = (),
    scenes: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    scene_list: str = "",
) -> Plan:
    """The plan of one size of a suite; raises UserError for what does not fit."""
    chosen = suite.sizes.get(size)
    if chosen is None:
        raise UserError(
            f"the suite {suite.name} has no size {size!r}", f"use {_words(suite.sizes)}"
        )
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise UserError(f"there is no method {unknown[0]!r}", f"use {_words(METHODS)}")
    if not scenes:
        raise UserError(f"the suite {suite.name} has no scenes of its own", "give it --scenes LIST")
    plan = Plan(
        suite=suite.name,
        size=size,
        title=suite.title,
        base=base or suite.base,
        seed=seed,
        methods=tuple(dict.fromkeys(methods)) or chosen.methods,
        scenes=tuple(scenes),
        prompts=_first(suite.prompts, chosen),
        images=chosen.images,
        subsets=suite.subsets,
        scorers=suite.scorers,
        threads=suite.threads,
        settings={**chosen.settings, **(settings or {})},
        sources=dict(sources or {}),
        scene_list=scene_list,
    )
    for method in plan.methods:
        build_config(job_settings(plan, method))
    return plan


def job_settings(plan: Plan, method: str) -> dict[str, Any]:
    """Dotted settings of a job's run."""
    recipe = recipe_settings(plan.base) | dict(plan.settings)
    quiet = {"preview.every": 0, "preview.attention_every": 0, "seed": plan.seed}
    return method_settings(method, recipe) | quiet


def plan_shots(
    plan: Plan, scene: str, words: Sequence[str], join: Join = "and"
) -> tuple[ShotPlan, ...]:
    """The pictures of a job, in order. All methods draw a scene from the same seeds.

    `join`: how the method's training named several things. Class words are joined alike for all.
    """
    shots: list[ShotPlan] = []
    for subset in subsets(len(words), plan.subsets):
        for index, prompt in enumerate(plan.prompts):
            for image in range(plan.images):
                key = f"{plan.seed}/{scene}/{subset}/{prompt.text}/{image}"
                seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
                shots.append(
                    ShotPlan(
                        number=len(shots),
                        subset=subset,
                        prompt=index,
                        image=image,
                        tokens=fill(prompt.text, [f"<asset{k}>" for k in subset], join),
                        words=fill(prompt.text, [words[k] for k in subset]),
                        place=prompt.place,
                        seed=seed,
                    )
                )
    return tuple(shots)


def class_words(scene: Scene) -> tuple[str, ...]:
    """Class word of each concept: its name, with spaces for dashes and underscores."""
    return tuple(name.replace("-", " ").replace("_", " ") for name in scene.names)


def suite_scenes(suite: Suite, size: str) -> list[SceneSource]:
    """The scenes of a suite that ships its own."""
    count = suite.sizes[size].scenes if size in suite.sizes else 0
    return [SceneSource(entry.name, load_scene(entry.folder)) for entry in suite.scenes[:count]]


def create_evaluation(
    name: str, plan: Plan, scenes: Sequence[SceneSource], *, command: str = ""
) -> EvaluationDir:
    """The folder of a new evaluation, in one piece; or the one that has this very plan.

    `command` is what the person gave, for the report. Raises UserError where an evaluation of
    another plan has the name.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UserError(f"{name!r} cannot name an evaluation", "use letters, digits, dot, dash")
    folder = EvaluationDir(evaluations_dir() / name)
    if folder.path.exists():
        if read_plan(folder) != plan:
            raise UserError(
                f"there is already an evaluation {name!r} with another plan",
                f"give this one another --name, or remove {folder.path}",
            )
        return folder
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.path.parent, prefix=".new-"))
    try:
        for source in scenes:
            save_scene(source.scene, temporary / "scenes" / source.name)
        table = _without_none(asdict(plan))
        head = {"created": time.time(), "command": command, "versions": versions()}
        head = {"evaluation": head, "plan": table}
        write_atomic(temporary / PLAN_FILE, tomli_w.dumps(head).encode())
        # Viewers may come before the driver has begun.
        store.create(temporary / STORE_FILE, plan.scenes, plan.methods)
        # It stays private, as mkdtemp made it.
        temporary.rename(folder.path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def read_plan(folder: EvaluationDir) -> Plan:
    """The plan of an evaluation; raises UserError when it is missing or damaged."""
    try:
        table = tomllib.loads(folder.plan.read_text(encoding="utf-8"))["plan"]
        prompts = tuple(Prompt(**entry) for entry in table.pop("prompts"))
        tuples: dict[str, Any] = {
            key: tuple(table.pop(key)) for key in ("methods", "scenes", "scorers")
        }
        return Plan(**table, **tuples, prompts=prompts)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder.path} is no readable evaluation ({error})", "`bas eval list` lists them"
        ) from error


def read_command(folder: EvaluationDir) -> str:
    """The command that made the evaluation; empty where it is not known."""
    try:
        table = tomllib.loads(folder.plan.read_text(encoding="utf-8"))
        return str(table["evaluation"].get("command", ""))
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return ""


def list_evaluations() -> list[EvaluationDir]:
    """All evaluations, the newest first."""
    root = evaluations_dir()
    found = list(root.glob("*/" + PLAN_FILE)) if root.is_dir() else []
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [EvaluationDir(path.parent) for path in found]


def find_evaluation(name: str | None) -> EvaluationDir:
    """The evaluation of that name or folder; None: the newest."""
    known = list_evaluations()
    if name is None:
        if not known:
            raise UserError("there are no evaluations yet", "start one: bas eval run pocket")
        return known[0]
    path = Path(name).expanduser()
    if (path / PLAN_FILE).is_file():
        return EvaluationDir(path.resolve())
    matches = [folder for folder in known if folder.name == name]
    if not matches:
        raise UserError(f"there is no evaluation {name!r}", "`bas eval list` lists them")
    return matches[0]


def _first(prompts: Sequence[Prompt], size: Size) -> tuple[Prompt, ...]:
    return tuple(prompts[: size.prompts])


def _without_none(table: Any) -> Any:
    if isinstance(table, Mapping):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    return table


def _words(names: Mapping[str, Any]) -> str:
    return ", ".join(names)
