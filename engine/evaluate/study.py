"""A blind user study on an evaluation's pictures (paper, section 4.3 and supplement). No torch.

STUDY/ study.json (what raters may see)  key.json (which method made which picture)
       pictures/<id>.png  references/<scene>-<concept>.png  ratings/<rater>.json
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir
from engine.evaluate.scorers.regions import cut
from engine.files.atomic import write_atomic
from engine.runs.folder import home
from engine.runs.library import NAME_PATTERN
from engine.scenes.scene import open_saved_scene

LOW, HIGH = 1, 5
REFERENCE_SIDE = 192
CHECK_EVERY = 12
"""One attention check for so many trials, and never less than two."""
RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")

Check = Literal["", "same", "other"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One picture to rate, as a rater sees it: nothing here tells its method."""

    id: str
    prompt: str
    """With class words."""
    references: tuple[str, ...]
    """Files of the things it should show."""
    picture: str


@dataclass(frozen=True, kw_only=True)
class Secret:
    """What a rater must not know of a trial."""

    method: str
    """Empty for an attention check."""
    scene: str
    number: int
    check: Check = ""
    """`same`: the scene itself, identity must be high; `other`: another scene, it must be low."""


@dataclass(frozen=True, kw_only=True)
class Rating:
    """One answer, LOW..HIGH each."""

    trial: str
    identity: int
    prompt: int

    def __post_init__(self) -> None:
        for value in (self.identity, self.prompt):
            if not isinstance(value, int) or not LOW <= value <= HIGH:
                raise UserError(f"a rating is {LOW} to {HIGH}, not {value!r}", "mend the file")


@dataclass(frozen=True)
class Study:
    """A study's folder."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def trials(self) -> tuple[Trial, ...]:
        """All trials in no telling order; raises UserError."""
        table = self._read("study.json")
        return tuple(
            Trial(**{**entry, "references": tuple(entry["references"])})
            for entry in table["trials"]
        )

    def secrets(self) -> dict[str, Secret]:
        """Trial id to what is hidden; raises UserError."""
        return {key: Secret(**entry) for key, entry in self._read("key.json").items()}

    def order(self, rater: str) -> tuple[Trial, ...]:
        """The trials in this rater's own random order, the same whenever they come back."""
        trials = self.trials()
        seed = int.from_bytes(hashlib.sha256(f"{self.name}/{rater}".encode()).digest()[:8], "big")
        return tuple(trials[int(k)] for k in np.random.default_rng(seed).permutation(len(trials)))

    def ratings(self) -> dict[str, tuple[Rating, ...]]:
        """The ratings of every rater."""
        found = sorted((self.path / "ratings").glob("*.json"))
        return {path.stem: parse_ratings(path)[1] for path in found}

    def save_ratings(self, rater: str, ratings: Sequence[Rating]) -> Path:
        """Write a rater's answers, replacing earlier ones; raises UserError for a bad name."""
        if not RATER.fullmatch(rater):
            raise UserError(f"{rater!r} cannot name a rater", "use letters and digits")
        record = {
            "study": self.name,
            "rater": rater,
            "ratings": [asdict(rating) for rating in ratings],
        }
        path = self.path / "ratings" / f"{rater}.json"
        write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())
        return path

    def add_ratings(self, path: Path) -> str:
        """Take in a file that the page saved; the rater's name. Raises UserError."""
        rater, ratings = parse_ratings(path)
        known = {trial.id for trial in self.trials()}
        strange = [rating.trial for rating in ratings if rating.trial not in known]
        if strange:
            raise UserError(f"{path} is of another study", "add it to the study it was made for")
        self.save_ratings(rater, ratings)
        return rater

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path} is no study ({error})", "make one: bas study new"
            ) from error


def studies_dir() -> Path:
    """The folder of all studies."""
    return home() / "studies"


def find_study(name: str | None) -> Study:
    """The study of that name or folder; None: the newest. Raises UserError."""
    if name is not None:
        for path in (studies_dir() / name, Path(name).expanduser()):
            if (path / "study.json").is_file():
                return Study(path)
        raise UserError(f"there is no study {name!r}", "make one: bas study new")
    found = sorted(studies_dir().glob("*/study.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError("there are no studies yet", "make one: bas study new")
    return Study(found[-1].parent)


def create_study(
    folder: EvaluationDir, name: str, *, pictures: int, seed: int = 0, methods: Sequence[str] = ()
) -> Study:
    """Draw `pictures` questions; every method answers each of them. Raises UserError.

    A question is a scene, a subset of its concepts and a prompt. Attention checks are added.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise UserError(f"{name!r} cannot name a study", "use letters, digits, dot, dash")
    target = Study(studies_dir() / name)
    if target.path.exists():
        raise UserError(f"there is already a study {name!r}", "choose another --name")
    rows = {(r.scene, r.number, r.method): r for r in store.scores(folder.store)}
    done = list(dict.fromkeys(row.method for row in rows.values()))
    chosen = list(methods) or done
    missing = [method for method in chosen if method not in done]
    if missing or len(chosen) < 2:
        raise UserError(
            f"{folder.name} has no pictures by {missing[0]}" if missing
            else "a study compares at least two methods",
            "let its jobs finish first",
        )  # fmt: skip
    questions = sorted(
        {(scene, number) for scene, number, _ in rows}
        - {(scene, number) for scene, number, _ in rows
           if any((scene, number, method) not in rows for method in chosen)}
    )  # fmt: skip
    if not questions:
        raise UserError(f"{folder.name} has no scene done by every method", "let its jobs finish")
    rng = np.random.default_rng(seed)
    taken = [questions[int(k)] for k in rng.permutation(len(questions))[:pictures]]
    target.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.path.parent, prefix=".new-"))
    try:
        maker = _Maker(folder, temporary, seed)
        for scene, number in taken:
            for method in chosen:
                row = rows[scene, number, method]
                maker.add(row, folder.path / row.path, Secret(
                    method=method, scene=scene, number=number))  # fmt: skip
        scenes = sorted({scene for scene, _ in questions})
        for index in range(max(2, round(len(maker.trials) / CHECK_EVERY))):
            scene, number = taken[index % len(taken)]
            row = rows[scene, number, chosen[0]]
            check: Check = "same" if index % 2 == 0 or len(scenes) < 2 else "other"
            others = [other for other in scenes if other != scene]
            shown = scene if check == "same" else others[int(rng.integers(len(others)))]
            secret = Secret(method="", scene=scene, number=number, check=check)
            maker.add(row, folder.scenes / shown / "image.png", secret)
        maker.finish(folder.name)
        # It stays private, as mkdtemp made it.
        temporary.rename(target.path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def parse_ratings(path: Path) -> tuple[str, tuple[Rating, ...]]:
    """Rater and ratings of a file; raises UserError."""
    try:
        table: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rater = str(table["rater"])
        ratings = {entry["trial"]: Rating(**entry) for entry in table["ratings"]}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} holds no ratings ({error!r})", "take the file that the page saved"
        ) from error
    if not RATER.fullmatch(rater):
        raise UserError(f"{path} has no rater's name", "fill it in on the page")
    return rater, tuple(ratings.values())


class _Maker:
    """Collects trials under names that tell nothing."""

    def __init__(self, folder: EvaluationDir, out: Path, seed: int) -> None:
        self._folder, self._out, self._seed = folder, out, seed
        self.trials: list[Trial] = []
        self._secrets: dict[str, Secret] = {}
        for part in ("pictures", "references", "ratings"):
            (out / part).mkdir()

    def add(self, row: store.ScoreRow, picture: Path, secret: Secret) -> None:
        key = f"{self._seed}/{len(self.trials)}/{row.scene}/{secret}"
        name = hashlib.sha256(key.encode()).hexdigest()[:12]
        # A copy of the pixels alone: the file's text would tell its run.
        path = self._out / "pictures" / f"{name}.png"
        with Image.open(picture, formats=("PNG",)) as opened:
            opened.convert("RGB").save(path)
        files: list[str] = []
        scene = open_saved_scene(self._folder.scenes / row.scene)
        for index in row.subset:
            concept = scene.concepts[index]
            reference = self._out / "references" / f"{row.scene}-{concept.name}.png"
            if not reference.is_file():
                Image.fromarray(cut(scene.image, concept.mask, REFERENCE_SIDE)).save(reference)
            files.append(f"references/{reference.name}")
        self.trials.append(
            Trial(
                id=name, prompt=row.words, references=tuple(files), picture=f"pictures/{name}.png"
            )
        )
        self._secrets[name] = secret

    def finish(self, evaluation: str) -> None:
        table = {
            "evaluation": evaluation,
            # Sorted by a meaningless name: the order of making would tell the method.
            "trials": [asdict(trial) for trial in sorted(self.trials, key=lambda t: t.id)],
        }
        (self._out / "study.json").write_text(json.dumps(table, indent=1) + "\n")
        secrets = {key: asdict(secret) for key, secret in sorted(self._secrets.items())}
        (self._out / "key.json").write_text(json.dumps(secrets, indent=1) + "\n")
