"""Scores as tables: per method, per prompt, per subset size. No torch, no plots here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.core.errors import UserError
from engine.core.methods import METHODS
from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, Plan, read_plan
from engine.evaluate.scorers.base import COPY, IDENTITY, PROMPT
from engine.evaluate.scorers.copying import COPIED
from engine.evaluate.statistics import Interval, bootstrap_mean, pareto_front
from engine.runs.manifest import read_manifest


class MethodRow(NamedTuple):
    """One method's line of the main table."""

    method: str
    title: str
    jobs: int
    """Scenes that are done."""
    pictures: int
    prompt: Interval
    identity: Interval
    """A concept that was not found counts as 0."""
    found: float
    """Share of concepts that were found."""
    identity_found: float
    """Identity over the found ones only; nan where none was."""
    nearness: Interval
    """Mean nearness to the input scene."""
    copied: float
    """Copy-paste share: pictures nearer than COPIED."""
    pareto: bool
    seconds: float
    """Mean wall seconds of a job."""


class Cell(NamedTuple):
    """One cell of a breakdown."""

    method: str
    group: str
    prompt: float
    identity: float


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Everything a report prints."""

    plan: Plan
    rows: tuple[MethodRow, ...]
    by_prompt: tuple[Cell, ...]
    by_size: tuple[Cell, ...]
    by_scene: tuple[Cell, ...]
    jobs_done: int
    jobs: int
    failed: tuple[store.Job, ...]
    facts: dict[str, str]
    initializer: str | None
    """Words that every token of every run started from; None where no run folder tells."""


def make_tables(folder: EvaluationDir) -> Tables:
    """The tables of whatever is done so far; methods without a score have no row."""
    plan = read_plan(folder)
    jobs = store.jobs(folder.store)
    scores = store.scores(folder.store)
    done = [job for job in jobs if job.state == "done"]
    rows: list[MethodRow] = []
    for method in plan.methods:
        mine = [score for score in scores if score.method == method]
        if mine:
            rows.append(_method_row(method, mine, [job for job in done if job.method == method]))
    front = set(pareto_front([(row.identity.mean, row.prompt.mean) for row in rows]))
    rows = [row._replace(pareto=index in front) for index, row in enumerate(rows)]
    return Tables(
        plan=plan,
        rows=tuple(rows),
        by_prompt=_breakdown(plan, scores, lambda s: plan.prompts[s.prompt].text),
        by_size=_breakdown(plan, scores, lambda s: str(len(s.subset))),
        by_scene=_breakdown(plan, scores, lambda s: s.scene),
        jobs_done=len(done),
        jobs=len(jobs),
        failed=tuple(job for job in jobs if job.state == "failed"),
        facts=store.facts(folder.store),
        initializer=_initializer(folder, done),
    )


def _initializer(folder: EvaluationDir, jobs: Sequence[store.Job]) -> str | None:
    """From a run folder: the base model's recipe may have changed since. No method changes it."""
    for job in jobs:
        with contextlib.suppress(UserError):
            settings = read_manifest(folder.run(job.scene, job.method)).settings
            return str(settings.get("initializer", ""))
    return None


def _method_row(
    method: str, scores: Sequence[store.ScoreRow], jobs: Sequence[store.Job]
) -> MethodRow:
    def interval(axis: str) -> Interval:
        mine = [score for score in scores if score.axis == axis]
        if not mine:
            return Interval(*(float("nan"),) * 3)
        return bootstrap_mean([s.value for s in mine], [s.scene for s in mine])

    identity = [score for score in scores if score.axis == IDENTITY]
    copy = [score for score in scores if score.axis == COPY]
    return MethodRow(
        method=method,
        title=METHODS[method].title,
        jobs=len(jobs),
        pictures=len({(score.scene, score.number) for score in scores}),
        prompt=interval(PROMPT),
        identity=interval(IDENTITY),
        found=_mean(float(score.found) for score in identity),
        identity_found=_mean(score.value for score in identity if score.found),
        nearness=interval(COPY),
        copied=_mean(float(score.value > COPIED) for score in copy),
        pareto=False,
        seconds=_mean(job.seconds for job in jobs),
    )


def _breakdown(
    plan: Plan, scores: Sequence[store.ScoreRow], group_of: Callable[[store.ScoreRow], str]
) -> tuple[Cell, ...]:
    groups = list(dict.fromkeys(group_of(score) for score in scores))
    cells: list[Cell] = []
    for method in plan.methods:
        mine = [score for score in scores if score.method == method]
        for group in groups if mine else ():
            here = [score for score in mine if group_of(score) == group]
            cells.append(
                Cell(
                    method,
                    group,
                    _mean(score.value for score in here if score.axis == PROMPT),
                    _mean(score.value for score in here if score.axis == IDENTITY),
                )
            )
    return tuple(cells)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else float("nan")
