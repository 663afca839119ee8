"""Writes a report: report.html, report.md, scatter.png, methods.csv, scores.csv, report.json."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.evaluate import store
from engine.evaluate.comparison import Against, Compared
from engine.evaluate.job_plan import EvaluationDir, read_command
from engine.evaluate.plots import scatter
from engine.evaluate.report_html import html_report
from engine.evaluate.report_text import (
    breakdown_rows,
    differences,
    failures,
    intro,
    made_with,
    main_columns,
    main_rows,
)
from engine.evaluate.tables import Cell, Tables, make_tables
from engine.files.atomic import write_atomic

SCORE_COLUMNS = (
    "scene", "method", "picture", "subset", "prompt", "image", "text", "scorer", "axis",
    "concept", "value", "found",
)  # fmt: skip


def write_report(folder: EvaluationDir, out: Path) -> Path:
    """Write every file of the report; the path of report.html. Raises UserError."""
    tables = make_tables(folder)
    picture = scatter(tables)
    command = read_command(folder)
    files = {
        "scatter.png": picture,
        "report.md": markdown(tables, command).encode(),
        "methods.csv": methods_csv(tables).encode(),
        "scores.csv": scores_csv(folder).encode(),
        "report.json": (json.dumps(tables_record(tables) | {"command": command}, indent=1) + "\n")
        .encode(),
        "report.html": html_report(folder, tables, picture, command).encode(),
    }  # fmt: skip
    for name, data in files.items():
        write_atomic(out / name, data)
    return out / "report.html"


def markdown(tables: Tables, command: str) -> str:
    """report.md: the same words and tables as the HTML page, without the pictures."""
    plan = tables.plan
    parts = [
        f"# {plan.title}: {plan.suite}, {plan.size}",
        *intro(tables),
        "## Methods",
        _markdown_table(main_columns(), main_rows(tables)),
        *failures(tables),
        "![identity against prompt similarity](scatter.png)",
    ]
    for title, cells in _breakdowns(tables):
        parts += [f"## {title}", _markdown_table(*breakdown_rows(cells))]
    parts += ["## Differences to the paper", "\n".join(f"* {line}" for line in differences(tables))]
    parts += ["## How it was made", f"```\n{command}\n```", "\n".join(made_with(tables))]
    return "\n\n".join(part for part in parts if part) + "\n"


def methods_csv(tables: Tables) -> str:
    """One line a method, full precision."""
    columns = (
        "method", "scenes", "pictures", "identity", "identity_low", "identity_high", "prompt",
        "prompt_low", "prompt_high", "found", "identity_found", "nearness", "copied", "pareto",
    )  # fmt: skip
    rows = [
        (
            row.method, row.jobs, row.pictures, *row.identity, *row.prompt, row.found,
            row.identity_found, row.nearness.mean, row.copied, int(row.pareto),
        )
        for row in tables.rows
    ]  # fmt: skip
    return _csv(columns, rows)


def scores_csv(folder: EvaluationDir) -> str:
    """One line a measure: everything the tables were made from."""
    rows = [
        (
            row.scene, row.method, row.number, " ".join(map(str, row.subset)), row.prompt,
            row.image, row.words, row.scorer, row.axis, row.concept, row.value, int(row.found),
        )
        for row in store.scores(folder.store)
    ]  # fmt: skip
    return _csv(SCORE_COLUMNS, rows)


def tables_record(tables: Tables) -> dict[str, Any]:
    """The tables as plain data; what is not there is null."""
    record = {
        "suite": tables.plan.suite,
        "size": tables.plan.size,
        "base": tables.plan.base,
        "seed": tables.plan.seed,
        "jobs": tables.jobs,
        "jobs_done": tables.jobs_done,
        "methods": [
            row._asdict()
            | {key: getattr(row, key)._asdict() for key in ("identity", "prompt", "nearness")}
            for row in tables.rows
        ],
        "by_prompt": [cell._asdict() for cell in tables.by_prompt],
        "by_subset_size": [cell._asdict() for cell in tables.by_size],
        "by_scene": [cell._asdict() for cell in tables.by_scene],
        "failed": [vars(job) for job in tables.failed],
        "facts": tables.facts,
    }
    return _finite(record)


def compared_record(line: Compared) -> dict[str, Any]:
    """A line of a comparison as plain data; what is not there is null."""
    figures = {
        name: {"mean": value.mean, "difference": value.difference._asdict()}
        for name, value in line._asdict().items()
        if isinstance(value, Against)
    }
    return _finite(line._asdict() | figures)


def _breakdowns(tables: Tables) -> list[tuple[str, Sequence[Cell]]]:
    return [
        ("By number of concepts", tables.by_size),
        ("By prompt", tables.by_prompt),
        ("By scene", tables.by_scene),
    ]


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
