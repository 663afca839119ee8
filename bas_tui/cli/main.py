"""`bas`: the commands, in groups. Each command imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from bas_tui.cli import (
    batch,
    demo,
    edit,
    evaluate,
    exchange,
    generate,
    help_text,
    information,
    masks,
    open_app,
    options,
    plan,
    runs,
    streams,
    study,
    train,
    vary,
)
from bas_tui.cli.stderr import Commands

app = typer.Typer(
    name="bas",
    cls=Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

START, RUNS, DRAW, SHARE, KNOW, MEASURE = "Learn", "Runs", "Draw", "Share", "Choose", "Measure"

app.command(rich_help_panel=START)(demo.demo)
app.command(rich_help_panel=START)(train.train)
app.command(rich_help_panel=START)(plan.plan)
app.command(rich_help_panel=START)(batch.batch)
app.command(rich_help_panel=START)(masks.masks)
app.command("open", rich_help_panel=START)(open_app.open_)
app.command(rich_help_panel=DRAW)(generate.gen)
app.command(rich_help_panel=DRAW)(edit.edit)
app.command(rich_help_panel=DRAW)(vary.vary)
app.command("runs", rich_help_panel=RUNS)(runs.list_)
app.command(rich_help_panel=RUNS)(runs.watch)
app.command(rich_help_panel=RUNS)(open_app.attach)
app.command(rich_help_panel=RUNS)(runs.show)
app.command(rich_help_panel=RUNS)(runs.pause)
app.command(rich_help_panel=RUNS)(runs.stop)
app.command(rich_help_panel=RUNS)(runs.checkpoint)
app.command(rich_help_panel=RUNS)(runs.preview)
app.command(rich_help_panel=RUNS)(runs.resume)
app.command(rich_help_panel=RUNS)(runs.rm)
app.command(rich_help_panel=SHARE)(exchange.export)
app.command("import", rich_help_panel=SHARE)(exchange.import_)
app.command(rich_help_panel=KNOW)(information.models)
app.command(rich_help_panel=KNOW)(information.settings)
app.add_typer(evaluate.app, name="eval", rich_help_panel=MEASURE)
app.add_typer(study.app, name="study", rich_help_panel=MEASURE)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        from bas_tui.cli import stdout

        try:
            stdout.line(f"bas {version('bas-tui')}")
        except PackageNotFoundError:
            stdout.line("bas (a source checkout that is not installed)")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bas(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Show the version.", callback=_version, is_eager=True
        ),
    ] = False,
    low_bandwidth: options.LowBandwidthOption = None,
    color: options.ColorOption = options.Color.auto,
    images: options.AppImagesOption = options.AppImages.auto,
    plain: options.PlainOption = False,
) -> None:
    """Learn every thing in one photo as a word of its own, then draw them anew.

    Example:  bas demo

    Alone, `bas` opens the application. A run trains in its own process and outlives any terminal.

    Exit codes: 0 done, 1 failed while running, 2 bad input or usage, 130 interrupted.
    """
    del version
    if context.invoked_subcommand is not None:
        return
    if open_app.can_open(plain):
        open_app.start("runs", low_bandwidth, color, images)
    else:
        runs.list_()


help_text.flow(app)


def main() -> None:
    """The console script."""
    streams.mend()
    app(prog_name="bas")
