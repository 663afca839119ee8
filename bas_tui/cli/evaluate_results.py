"""What an evaluation found: its table and report, and several evaluations beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout
from engine.core.extras import need

if TYPE_CHECKING:
    from engine.evaluate.job_plan import EvaluationDir


def complete_evaluation(incomplete: str) -> list[str]:
    """Names of evaluations for the shell."""
    from engine.evaluate.job_plan import list_evaluations

    names = [folder.name for folder in list_evaluations()]
    return [name for name in names if name.startswith(incomplete)]


EvaluationArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="An evaluation's name or folder.",
        autocompletion=complete_evaluation,
        show_default="the newest",
    ),
]


def report(
    name: EvaluationArgument = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", show_default="report/ in the evaluation"),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the table and the plot, and write report.html, report.md, CSV and JSON.

    Example:  bas eval report pocket-small --out docs/results
    """
    from engine.evaluate.job_plan import find_evaluation
    from engine.evaluate.tables import make_tables

    folder = find_evaluation(name)
    tables = make_tables(folder)
    if as_json:
        from engine.evaluate.report_files import tables_record

        stdout.json_line(tables_record(tables))
    else:
        from bas_tui.cli.evaluate_view import show_tables

        show_tables(tables)
    write_report(folder, out)


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="FIRST",
            help="The evaluation that the others are held against.",
            autocompletion=complete_evaluation,
        ),
    ],
    others: Annotated[
        list[str],
        typer.Argument(
            metavar="OTHER...",
            help="Evaluations of the same suite with other settings.",
            autocompletion=complete_evaluation,
        ),
    ],
    as_json: options.JsonOption = False,
) -> None:
    """Hold evaluations with different settings against a first one, picture by picture.

    Example:  bas eval compare full lora-4 lora-16

    Differences are means over the pictures that both drew; the brackets are 95 % intervals of a
    bootstrap over whole scenes.
    """
    from bas_tui.cli.evaluate_view import compared_cells
    from engine.core.settings import setting_words
    from engine.evaluate.comparison import compare as hold
    from engine.evaluate.job_plan import find_evaluation

    lines = hold(find_evaluation(first), [find_evaluation(name) for name in others])
    if as_json:
        from engine.evaluate.report_files import compared_record

        for line in lines:
            stdout.json_line(compared_record(line))
        return
    columns = (
        "evaluation", "method", "identity", "to the first", "prompt", "to the first", "together",
        "to the first", "minutes", "pictures",
    )  # fmt: skip
    styles = ("bold", "dim", "", "dim", "", "dim", "", "dim")
    rows = [compared_cells(line) for line in lines]
    stdout.table(columns, rows, styles, spare=("method", "minutes", "pictures"))
    for line in lines:
        if line.settings:
            stderr.say(f"{line.name}: {' '.join(setting_words(line.settings))}")


def write_report(folder: EvaluationDir, out: Path | None = None) -> None:
    """Write its files and say where; needs the extra `eval`."""
    from engine.evaluate.report_files import write_report as write

    need("matplotlib", "eval")
    with stderr.waiting("writing the report"):
        path = write(folder, out or folder.report)
    stderr.say(f"report: {path}")
