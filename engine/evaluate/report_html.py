"""report.html: one file with everything in it, pictures too."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir
from engine.evaluate.plots import kind_of
from engine.evaluate.report_text import (
    breakdown_rows,
    differences,
    failures,
    intro,
    made_with,
    main_columns,
    main_rows,
)
from engine.evaluate.tables import Cell, Tables
from engine.jobs.report_parts import escaped, jpeg_data, open_png

THUMBNAIL = 128
MOST_SCENES = 12
ROWS_A_SUBSET = 2

STYLE = """
:root { color-scheme: light dark; --edge: #8884; --soft: #8881; --ours: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid var(--edge); }
td { white-space: nowrap; } tr.ours td:first-child { color: var(--ours); font-weight: 600; }
td.text { white-space: normal; max-width: 15rem; }
.wide { overflow-x: auto; } .grid td, .grid th { border: 0; padding: .15rem; font-size: .75rem; }
.grid img { display: block; width: 112px; height: 112px; border-radius: 3px; }
pre { background: var(--soft); padding: .6rem .8rem; overflow-x: auto; }
img.plot { max-width: 100%; background: white; }
.failed { color: #b91c1c; }
"""


def html_report(folder: EvaluationDir, tables: Tables, plot: bytes, command: str) -> str:
    """The page, self-contained: no network, no other file."""
    plan = tables.plan
    title = f"{plan.title}: {plan.suite}, {plan.size}"
    parts = [f"<h1>{escaped(title)}</h1>", *(f"<p>{escaped(line)}</p>" for line in intro(tables))]
    parts += ["<h2>Methods</h2>", _table(main_columns(), main_rows(tables))]
    parts += [f"<p class=failed>{escaped(line.replace('**', ''))}</p>" for line in failures(tables)]
    parts.append(f'<img class=plot alt="identity against prompt similarity" src="{_png(plot)}">')
    cells: list[tuple[str, Sequence[Cell]]] = [
        ("By number of concepts", tables.by_size),
        ("By prompt", tables.by_prompt),
        ("By scene", tables.by_scene),
    ]
    for heading, rows in cells:
        parts += [f"<h2>{heading}</h2>", _table(*breakdown_rows(rows))]
    parts += ["<h2>Pictures</h2>", *_grids(folder, tables)]
    parts += ["<h2>Differences to the paper</h2><ul>"]
    parts += [f"<li>{escaped(line)}</li>" for line in differences(tables)]
    parts += ["</ul><h2>How it was made</h2>", f"<pre>{html.escape(command)}</pre><ul>"]
    parts += [f"<li>{escaped(line.removeprefix('* '))}</li>" for line in made_with(tables)]
    body = "\n".join([*parts, "</ul>"])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(title)}'
        '</title>\n<meta name="viewport" content="width=device-width">\n'
        f"<style>{STYLE}</style>\n{body}\n</html>\n"
    )


def _grids(folder: EvaluationDir, tables: Tables) -> list[str]:
    """A table a scene: the methods side by side, some prompts of every subset below each other."""
    plan = tables.plan
    methods = [row.method for row in tables.rows]
    shots: dict[tuple[str, str, int], store.ScoreRow] = {}
    for row in store.scores(folder.store):
        shots.setdefault((row.scene, row.method, row.number), row)
    parts: list[str] = []
    for scene in plan.scenes[:MOST_SCENES]:
        here = {key[2]: row for key, row in shots.items() if key[0] == scene}
        if not here:
            continue
        chosen: list[int] = []
        for subset in dict.fromkeys(row.subset for _, row in sorted(here.items())):
            mine = [n for n, row in sorted(here.items()) if row.subset == subset and not row.image]
            # Different prompts in different subsets, so that the grid shows many of them.
            shift = len(chosen) % max(1, len(mine))
            chosen += sorted((mine[shift:] + mine[:shift])[:ROWS_A_SUBSET])
        image = _thumbnail(folder.scenes / scene / "image.png")
        head = "".join(f"<th>{escaped(method)}</th>" for method in methods)
        lines = [f"<h3>{escaped(scene)}</h3><div class=wide><table class=grid>"]
        lines.append(f'<tr><td><img alt="scene" src="{image}"></td>{head}</tr>')
        for number in chosen:
            images = [shots.get((scene, method, number)) for method in methods]
            pictures = "".join(
                f'<td><img alt="" src="{_thumbnail(folder.path / row.path)}"></td>'
                if row and (folder.path / row.path).is_file()
                else "<td></td>"
                for row in images
            )
            lines.append(f"<tr><td class=text>{escaped(here[number].words)}</td>{pictures}</tr>")
        parts.append("".join([*lines, "</table></div>"]))
    if len(plan.scenes) > MOST_SCENES:
        parts.append(f"<p>The first {MOST_SCENES} of {len(plan.scenes)} scenes are shown.</p>")
    return parts


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escaped(column)}</th>" for column in columns)
    lines: list[str] = []
    for row in rows:
        mark = " class=ours" if kind_of(row[0]) == "ours" else ""
        cells = "".join(f"<td>{escaped(cell)}</td>" for cell in row)
        lines.append(f"<tr{mark}>{cells}</tr>")
    return f"<div class=wide><table><tr>{head}</tr>{''.join(lines)}</table></div>"


def _thumbnail(path: Path) -> str:
    return jpeg_data(open_png(path), (THUMBNAIL, THUMBNAIL))


def _png(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
