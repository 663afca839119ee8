"""The words and table cells that both forms of a report share. No torch, no plots here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.core.settings import setting_words
from engine.evaluate.scorers.copying import COPIED
from engine.evaluate.statistics import LEVEL, RESAMPLES, Interval
from engine.evaluate.tables import Cell, Tables

POCKET_NOTE = (
    "The embedded suite is a ruler for the code, not for the paper: its model is tiny and its "
    "scenes are drawn. Its numbers do not compare with the paper's; the order of methods may."
)


def number(value: float) -> str:
    """Three decimals; a dash for what is not there."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def with_interval(interval: Interval) -> str:
    """`0.512 [0.431, 0.590]`; without brackets for a single scene."""
    return f"{number(interval.mean)} {brackets(interval)}".rstrip()


def brackets(interval: Interval) -> str:
    """`[0.431, 0.590]`; empty for a single scene."""
    if math.isnan(interval.low):
        return ""
    return f"[{interval.low:.3f}, {interval.high:.3f}]"


def main_columns() -> tuple[str, ...]:
    """Heads of the main table."""
    return (
        "method", "identity", "prompt", "found", "identity of the found", "copied",
        "on the front", "scenes", "pictures", "minutes a scene",
    )  # fmt: skip


def main_rows(tables: Tables) -> list[tuple[str, ...]]:
    """Cells of the main table."""
    return [
        (
            row.method,
            with_interval(row.identity),
            with_interval(row.prompt),
            f"{row.found:.0%}",
            number(row.identity_found),
            f"{row.copied:.0%}",
            "yes" if row.pareto else "",
            str(row.jobs),
            str(row.pictures),
            f"{row.seconds / 60:.1f}",
        )
        for row in tables.rows
    ]


def breakdown_rows(cells: Sequence[Cell]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and cells of a breakdown: a line a group, `identity / prompt` a method."""
    methods = list(dict.fromkeys(cell.method for cell in cells))
    groups = list(dict.fromkeys(cell.group for cell in cells))
    table = {(cell.method, cell.group): cell for cell in cells}
    rows = [
        (
            group,
            *(
                f"{number(table[m, group].identity)} / {number(table[m, group].prompt)}"
                if (m, group) in table
                else "-"
                for m in methods
            ),
        )
        for group in groups
    ]
    return ("identity / prompt", *methods), rows


def intro(tables: Tables) -> list[str]:
    """What the numbers are, in sentences."""
    plan = tables.plan
    scenes = "scene" if len(plan.scenes) == 1 else "scenes"
    lines = [
        f"{tables.jobs_done} of {tables.jobs} jobs are done: {len(plan.scenes)} {scenes}, "
        f"{len(plan.methods)} methods, {len(plan.prompts)} prompts, {plan.images} "
        f"picture{'s' if plan.images > 1 else ''} for each prompt and subset ({plan.subsets}), "
        f"base model {plan.base}, seed {plan.seed}.",
        "Identity: is the concept in the picture? Prompt: does the picture follow the prompt? "
        f"Both: larger is better. Brackets: {LEVEL:.0%} bootstrap interval, {RESAMPLES} resamples "
        "of whole scenes. A concept that was not found counts as identity 0. Copied: share of "
        f"pictures that repeat the input scene (correlation of thumbnails above {COPIED}). "
        "On the front: no other method is better on both axes.",
    ]
    if len(plan.scenes) == 1:
        lines.append("One scene has no interval and shows no order of methods.")
    if plan.suite == "pocket":
        lines.append(POCKET_NOTE)
    if plan.size == "smoke":
        lines.append("This size shows that everything works; its numbers mean nothing.")
    return lines


def failures(tables: Tables) -> list[str]:
    """A sentence for each job that failed."""
    return [f"**{job.scene} by {job.method} failed:** {job.message}" for job in tables.failed]


def differences(tables: Tables) -> list[str]:
    """Where this evaluation is not the paper's."""
    plan = tables.plan
    lines = [
        "ELITE, the paper's fourth baseline, is not run: it needs an encoder trained elsewhere.",
        "TI-m, DB-m and CD-m are re-implemented on this project's loop from the paper's and the "
        "supplement's words; every method takes the same number of steps.",
        "The paper does not say what counts when the segmenter finds nothing. Here it counts as 0; "
        "the column of the found ones leaves it out.",
        "Intervals, the share of found concepts and the copy-paste share are additions.",
        _initializers(tables.initializer),
    ]
    if plan.suite == "pocket":
        lines += [
            "Scenes: composed of drawn things with exact masks, instead of 50 COCO photos.",
            f"Base model: {plan.base}, instead of Stable Diffusion 2.1-base; its own recipe.",
            "Prompt similarity: probability of the place that the prompt names, by a small head on "
            "EfficientNet-lite0, instead of CLIP; the class words are not judged.",
            "Identity similarity: cosine of a small head on EfficientNet-lite0 for the best region "
            "of a foreground segmenter, instead of DINO and MaskFormer; regions have no class.",
            "Prompts: ten (or the first of them) that the embedded model understands.",
        ]
    else:
        lines += [
            "Scenes: chosen anew by the paper's rules (`bas eval select`); the authors' list is "
            f"lost. This list's sha256: {plan.scene_list or 'a suite of its own'}.",
            "Distinct things are read as things of different classes.",
            "DINO sees the whole picture with everything but the thing painted black; the paper "
            "does not say how it masks.",
            "Class words replace tokens one by one, without articles.",
        ]
    if plan.size != "full":
        lines.append(
            f"Size {plan.size}: {len(plan.scenes)} scenes, {len(plan.prompts)} prompts, "
            f"{plan.images} pictures each; the paper: 50, 10 and 2."
        )
    if plan.settings:
        lines.append(f"Changed settings: {', '.join(setting_words(plan.settings))}.")
    return lines


def _initializers(words: str | None) -> str:
    if words is None:
        start = "as the base model's recipe says (setting `initializer`)"
    elif words:
        start = f"near the mean of the words `{words}`"
    else:
        start = "like a random word of the vocabulary"
    return (
        "No concept has an initialiser word of its own: with every method, every token starts "
        f"{start}."
    )


def made_with(tables: Tables) -> list[str]:
    """Versions, device, base model and scorers, one line each."""
    return [f"* {key}: `{value}`" for key, value in tables.facts.items()]
