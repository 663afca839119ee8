"""Evaluations of one suite with different settings, picture by picture against a first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, Plan, read_plan
from engine.evaluate.scorers.base import IDENTITY, PROMPT
from engine.evaluate.statistics import Interval, bootstrap_mean

SAME = ("suite", "size", "seed")
"""What must be equal for pictures to be pairs."""
Place = tuple[str, int, int]
"""Scene, number of the picture, thing (-1: the picture); equal prompts and seeds in both."""
Values = dict[Place, float]


class Against(NamedTuple):
    """One figure of an evaluation beside the first one's."""

    mean: float
    """Over the pictures that both have."""
    difference: Interval
    """To the first evaluation; interval by paired bootstrap of whole scenes."""


class Compared(NamedTuple):
    """A line of the comparison."""

    name: str
    settings: Mapping[str, object]
    """What it sets otherwise than the first one."""
    method: str
    scenes: int
    pictures: int
    """That both have."""
    identity: Against
    prompt: Against
    together: Against
    """Share of pictures of several things in which each was found."""
    seconds: float
    """Mean wall seconds of a job."""


def compare(first: EvaluationDir, others: Sequence[EvaluationDir]) -> list[Compared]:
    """The first against itself, then the others against it, by method.

    Raises UserError where suite, size or seed differ, or nothing was drawn by both.
    """
    plan = read_plan(first)
    mine = store.scores(first.store)
    lines: list[Compared] = []
    for folder in (first, *others):
        theirs_plan = read_plan(folder)
        _require_same(first, plan, folder, theirs_plan)
        theirs = store.scores(folder.store)
        jobs = [job for job in store.jobs(folder.store) if job.state == "done"]
        before = len(lines)
        for method in theirs_plan.methods:
            pairs = [
                (figure(mine, method), figure(theirs, method))
                for figure in (_identity, _prompt, _together)
            ]
            shots = {place[:2] for place in pairs[0][0].keys() & pairs[0][1].keys()}
            if not shots:
                continue
            taken = [job.seconds for job in jobs if job.method == method]
            lines.append(
                Compared(
                    folder.name,
                    _changed(plan.settings, theirs_plan.settings),
                    method,
                    len({scene for scene, _ in shots}),
                    len(shots),
                    _against(*pairs[0]),
                    _against(*pairs[1]),
                    _against(*pairs[2]),
                    sum(taken) / len(taken) if taken else float("nan"),
                )
            )
        if len(lines) == before:
            raise UserError(
                f"{folder.name} has drawn nothing that {first.name} has drawn, too",
                "let both finish, with the same scenes and methods",
            )
    return lines


def _require_same(first: EvaluationDir, plan: Plan, other: EvaluationDir, theirs: Plan) -> None:
    for key in SAME:
        ours, other_value = getattr(plan, key), getattr(theirs, key)
        if ours != other_value:
            raise UserError(
                f"{first.name} has {key} {ours} and {other.name} {other_value}",
                "compare evaluations of one suite, size and seed",
            )


def _changed(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    missing = object()
    return {key: value for key, value in theirs.items() if ours.get(key, missing) != value}


def _against(ours: Values, theirs: Values) -> Against:
    places = sorted(ours.keys() & theirs.keys())
    if not places:
        nothing = float("nan")
        return Against(nothing, Interval(nothing, nothing, nothing))
    values = [theirs[place] - ours[place] for place in places]
    mean = sum(theirs[place] for place in places) / len(places)
    return Against(mean, bootstrap_mean(values, [scene for scene, _, _ in places]))


def _identity(scores: Sequence[store.ScoreRow], method: str) -> Values:
    """Of each thing; one that was not found counts as 0."""
    return _values(scores, method, IDENTITY)


def _prompt(scores: Sequence[store.ScoreRow], method: str) -> Values:
    return _values(scores, method, PROMPT)


def _together(scores: Sequence[store.ScoreRow], method: str) -> Values:
    """1 for a picture of several things in which each was found, else 0."""
    found: Values = {}
    for score in scores:
        if score.method == method and score.axis == IDENTITY and len(score.subset) > 1:
            place = score.scene, score.number, -1
            found[place] = min(found.get(place, 1.0), float(score.found))
    return found


def _values(scores: Sequence[store.ScoreRow], method: str, axis: str) -> Values:
    return {
        (score.scene, score.number, score.concept): score.value
        for score in scores
        if score.method == method and score.axis == axis
    }
