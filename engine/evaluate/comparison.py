"""Evaluations of one suite with different settings, picture by picture against a first one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from engine.core.errors import UserError
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, Plan, read_plan
from engine.evaluate.scorers.base import IDENTITY, PROMPT
from engine.evaluate.statistics import Interval, bootstrap_mean

SAME = ("suite", "size", "seed")
"""What must be equal for pictures to be pairs."""
Shot = tuple[str, str, int]
"""Scene, method, number of the picture: equal prompts, tokens and seeds in both evaluations."""
Values = dict[Shot, float]


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
            shots = _identity(mine, method).keys() & _identity(theirs, method).keys()
            if not shots:
                continue
            taken = [job.seconds for job in jobs if job.method == method]
            lines.append(
                Compared(
                    folder.name,
                    _changed(plan.settings, theirs_plan.settings),
                    method,
                    len({scene for scene, _, _ in shots}),
                    len(shots),
                    _against(_identity(mine, method), _identity(theirs, method)),
                    _against(_prompt(mine, method), _prompt(theirs, method)),
                    _against(_together(mine, method), _together(theirs, method)),
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
    shots = sorted(ours.keys() & theirs.keys())
    if not shots:
        nothing = float("nan")
        return Against(nothing, Interval(nothing, nothing, nothing))
    values = [theirs[shot] - ours[shot] for shot in shots]
    mean = sum(theirs[shot] for shot in shots) / len(shots)
    return Against(mean, bootstrap_mean(values, [scene for scene, _, _ in shots]))


def _identity(scores: Sequence[store.ScoreRow], method: str) -> Values:
    """Mean over the picture's things; one that was not found counts as 0."""
    return _means(scores, method, IDENTITY, lambda score: score.value)


def _prompt(scores: Sequence[store.ScoreRow], method: str) -> Values:
    return _means(scores, method, PROMPT, lambda score: score.value)


def _together(scores: Sequence[store.ScoreRow], method: str) -> Values:
    several = [score for score in scores if len(score.subset) > 1]
    found = _means(several, method, IDENTITY, lambda score: float(score.found))
    return {shot: float(share == 1.0) for shot, share in found.items()}


def _means(
    scores: Sequence[store.ScoreRow],
    method: str,
    axis: str,
    value: Callable[[store.ScoreRow], float],
) -> Values:
    values: dict[Shot, list[float]] = {}
    for score in scores:
        if score.method == method and score.axis == axis:
            values.setdefault((score.scene, method, score.number), []).append(value(score))
    return {shot: sum(found) / len(found) for shot, found in values.items()}
