"""What a study's ratings say: means, tests, agreement. Needs scipy; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from engine.core.errors import UserError
from engine.core.methods import METHODS
from engine.evaluate.statistics import krippendorff_alpha
from engine.evaluate.study import HIGH, LOW, Rating, Secret, Study

Question = Literal["identity", "prompt"]
QUESTIONS: tuple[Question, ...] = ("identity", "prompt")
MIDDLE = (LOW + HIGH) / 2
LEAST_CHECKS = 2 / 3
"""A rater who passes a smaller share of the attention checks is left out."""

PAPER: dict[str, tuple[float, float]] = {
    "ti-m": (2.69, 3.88),
    "db-m": (3.97, 2.37),
    "cd-m": (2.47, 4.08),
    "break-a-scene": (3.56, 3.85),
}
"""The paper's user study: identity and prompt (ELITE, 3.05 and 3.53, is not run here)."""


class MethodRating(NamedTuple):
    """One method's line."""

    method: str
    ratings: int
    identity: float
    identity_sd: float
    prompt: float
    prompt_sd: float


class Pair(NamedTuple):
    """Tukey's honestly significant difference of two methods."""

    question: Question
    first: str
    second: str
    difference: float
    p: float


class Test(NamedTuple):
    """Kruskal-Wallis over all methods, and the raters' agreement."""

    question: Question
    h: float
    p: float
    alpha: float
    """Krippendorff's, ordinal."""


class StudyResult(NamedTuple):
    """Everything a study's report prints."""

    raters: tuple[str, ...]
    left_out: tuple[str, ...]
    """Raters who failed the attention checks."""
    rows: tuple[MethodRating, ...]
    tests: tuple[Test, ...]
    pairs: tuple[Pair, ...]


def analyse(study: Study) -> StudyResult:
    """Analyse all ratings collected so far; raises UserError where there are too few."""
    try:
        from scipy.stats import kruskal, tukey_hsd
    except ImportError as error:
        raise UserError("the analysis needs scipy", "pip install 'bas-tui[eval]'") from error
    secrets, ratings = study.secrets(), study.ratings()
    kept = {name: mine for name, mine in ratings.items() if passes_checks(mine, secrets)}
    left_out = tuple(name for name in ratings if name not in kept)
    if not kept:
        raise UserError(
            f"{study.name} has no ratings yet" if not ratings else "no rater passed the checks",
            "rate it: bas study rate, or send the page of `bas study page` to raters",
        )
    methods = [
        method
        for method in METHODS
        if any(secrets[rating.trial].method == method for mine in kept.values() for rating in mine)
    ]
    rows: list[MethodRating] = []
    groups: dict[Question, list[list[int]]] = {question: [] for question in QUESTIONS}
    for method in methods:
        mine = [
            rating for some in kept.values() for rating in some
            if secrets[rating.trial].method == method
        ]  # fmt: skip
        columns = {q: [int(getattr(rating, q)) for rating in mine] for q in QUESTIONS}
        for question in QUESTIONS:
            groups[question].append(columns[question])
        figures = [(float(np.mean(columns[q])), _sd(columns[q])) for q in QUESTIONS]
        rows.append(MethodRating(method, len(mine), *figures[0], *figures[1]))
    tests: list[Test] = []
    pairs: list[Pair] = []
    enough = len(methods) > 1 and all(len(mine) > 1 for mine in groups["identity"])
    for question in QUESTIONS:
        alpha = krippendorff_alpha(_matrix(kept, secrets, question))
        varied = len({value for group in groups[question] for value in group}) > 1
        if not (enough and varied):
            tests.append(Test(question, math.nan, math.nan, alpha))
            continue
        found = kruskal(*groups[question])
        tests.append(Test(question, float(found.statistic), float(found.pvalue), alpha))
        tukey = tukey_hsd(*groups[question])
        for a in range(len(methods)):
            for b in range(a + 1, len(methods)):
                difference = float(np.mean(groups[question][a]) - np.mean(groups[question][b]))
                p = float(tukey.pvalue[a, b])
                pairs.append(Pair(question, methods[a], methods[b], difference, p))
    return StudyResult(tuple(kept), left_out, tuple(rows), tuple(tests), tuple(pairs))


def passes_checks(ratings: Sequence[Rating], secrets: dict[str, Secret]) -> bool:
    """Whether enough of the attention checks that the rater saw were answered as they must be."""
    passed: list[bool] = []
    for rating in ratings:
        check = secrets[rating.trial].check
        if check == "same":
            passed.append(rating.identity > MIDDLE)
        elif check == "other":
            passed.append(rating.identity < MIDDLE)
    return not passed or sum(passed) / len(passed) >= LEAST_CHECKS


def table_lines(result: StudyResult) -> list[str]:
    """The study as Markdown, laid out as the paper's table, with the paper's numbers beside it."""
    lines = [
        "| Method | Identity similarity | Prompt similarity | the paper's |",
        "|---|---|---|---|",
    ]
    for row in result.rows:
        paper = PAPER.get(row.method)
        beside = f"{paper[0]:.2f} / {paper[1]:.2f}" if paper else ""
        lines.append(
            f"| {row.method} | {row.identity:.2f} ± {row.identity_sd:.2f} | "
            f"{row.prompt:.2f} ± {row.prompt_sd:.2f} | {beside} |"
        )
    lines += [
        "",
        f"{len(result.raters)} raters; {sum(row.ratings for row in result.rows)} ratings.",
    ]
    if result.left_out:
        lines.append(f"Left out for failed attention checks: {', '.join(result.left_out)}.")
    for test in result.tests:
        lines.append(
            f"* {test.question}: Kruskal-Wallis H = {_number(test.h)}, p = {_p(test.p)}; "
            f"Krippendorff's alpha (ordinal) = {_number(test.alpha)}"
        )
    if result.pairs:
        lines += ["", "| Tukey's HSD | | | difference | p |", "|---|---|---|---|---|"]
        lines += [
            f"| {pair.question} | {pair.first} | {pair.second} | {pair.difference:+.2f} | "
            f"{_p(pair.p)} |"
            for pair in result.pairs
        ]
    return lines


def _matrix(
    kept: dict[str, tuple[Rating, ...]], secrets: dict[str, Secret], question: Question
) -> np.ndarray:
    """Ratings (raters, trials), nan where there is none; attention checks left out."""
    trials = [key for key, secret in secrets.items() if not secret.check]
    column = {key: index for index, key in enumerate(trials)}
    matrix = np.full((len(kept), len(trials)), np.nan)
    for row, mine in enumerate(kept.values()):
        for rating in mine:
            if rating.trial in column:
                matrix[row, column[rating.trial]] = getattr(rating, question)
    return matrix


def _sd(values: Sequence[int]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
