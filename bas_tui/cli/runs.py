"""The library of runs: list, look, stop, pause, go on, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from pathlib import Path

    from engine.runs.description import RunInfo
    from engine.runs.folder import RunDir

STOP_SECONDS = 120.0
"""How long `bas stop` waits for the last checkpoint to be written."""


def list_(as_json: options.JsonOption = False) -> None:
    """List all runs, the newest first.

    Example:  bas runs
    """
    from bas_tui.cli.progress import short_base
    from engine.core.durations import say_age
    from engine.core.errors import UserError
    from engine.runs.description import describe
    from engine.runs.library import list_runs

    infos: list[RunInfo] = []
    for run in list_runs():
        try:
            infos.append(describe(run))
        except UserError as problem:
            stderr.note("warning", problem.message, problem.remedy)
    if as_json:
        for info in infos:
            stdout.json_line(record(info))
        return
    if not infos:
        stderr.say("no runs yet - start one with `bas demo` or `bas train SCENE --masks M`")
        return
    stdout.table(
        ("run", "state", "step", "loss", "base", "concepts", "when"),
        [
            (
                info.run.name,
                info.state,
                f"{info.step}/{info.total_steps}",
                "" if info.loss is None else f"{info.loss:.4f}",
                short_base(info.base),
                " ".join(f"<{concept.name}>" for concept in info.concepts),
                say_age(info.created),
            )
            for info in infos
        ],
        ("bold", "", "", "", "", "cyan", "dim"),
        folds=("concepts",),
        spare=("loss", "base"),
    )


def watch(
    run: options.RunArgument = None,
    low_bandwidth: options.LowBandwidthOption = None,
    color: options.ColorOption = options.Color.auto,
    images: options.AppImagesOption = options.AppImages.auto,
    plain: options.PlainOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Watch a run; no key disturbs it, and leaving does not either.

    Example:  bas watch teapot

    On a terminal it opens the application, read-only; with --plain it prints lines until the end.
    """
    from bas_tui.cli import open_app
    from bas_tui.cli.attach import attach
    from engine.runs.library import find_run

    found = find_run(run)
    if not as_json and open_app.can_open(plain):
        open_app.start("train", low_bandwidth, color, images, run=str(found.path), control=False)
    raise typer.Exit(attach(found, as_json=as_json, plain=plain, owner=False))


def show(
    run: options.RunArgument = None,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Say what is in a run, and the commands to use it.

    Example:  bas show teapot

    On a terminal its newest preview is shown, too.
    """
    from engine.core.settings import setting_words
    from engine.runs.description import describe
    from engine.runs.library import find_run
    from engine.runs.manifest import read_manifest

    found = find_run(run)
    info, manifest = describe(found), read_manifest(found)
    if as_json:
        stdout.json_line(
            record(info) | {
                "method": manifest.method,
                "scene": manifest.scene_source,
                "settings": manifest.settings,
                "versions": manifest.versions or {},
                "base_sha256": manifest.base_hash,
            }
        )  # fmt: skip
        return
    loss = "" if info.loss is None else f", loss {info.loss:.4f}"
    message = f": {info.message}" if info.message and info.state == "failed" else ""
    words = {
        c.name: f" (starts as {c.initializer})" if c.initializer else "" for c in info.concepts
    }
    rows = [
        ("run", found.name),
        ("folder", str(found.path)),
        ("state", f"{info.state} at step {info.step}/{info.total_steps}{loss}{message}"),
        ("base", manifest.base),
        ("method", manifest.method),
        ("scene", manifest.scene_source),
        *((c.token, f"<{c.name}>{words[c.name]}") for c in info.concepts),
        *(("setting", word) for word in setting_words(manifest.settings)),
        ("previews", str(count(found.previews, "*.png"))),
        ("checkpoints", str(count(found.checkpoints, "*"))),
        ("pictures", str(count(found.pictures, "*.png"))),
    ]
    stdout.table(("", ""), rows, ("dim", ""))
    if previews := sorted(found.previews.glob("*.png")):
        stdout.picture(previews[-1], images.value)
    for command in useful_commands(found, info):
        stderr.say(command)


def stop(run: options.RunArgument = None) -> None:
    """End a run after its current step, with a checkpoint; `bas resume` goes on from there.

    Example:  bas stop teapot
    """
    from bas_tui import client
    from engine.core.errors import BasError
    from engine.runs.description import describe
    from engine.runs.library import find_run

    found = find_run(run)
    client.send(found, "stop")
    if not client.wait_until_gone(found, STOP_SECONDS):
        raise BasError(f"{found.name} is still busy", "it stops as soon as it can; see bas runs")
    info = describe(found)
    stderr.say(f"{found.name} {info.state} at step {info.step}/{info.total_steps}")
    if info.state != "finished":
        stderr.say(f"go on: bas resume {found.name}")


def pause(run: options.RunArgument = None) -> None:
    """Let a run stand still and keep its memory; `bas resume` goes on at once.

    Example:  bas pause teapot
    """
    from bas_tui import client
    from engine.runs.library import find_run

    found = find_run(run)
    client.send(found, "pause")
    stderr.say(f"{found.name} pauses after this step · go on: bas resume {found.name}")


def checkpoint(run: options.RunArgument = None) -> None:
    """Write a checkpoint after the current step; `bas gen` can draw with it at once.

    Example:  bas checkpoint teapot
    """
    from bas_tui import client
    from engine.runs.library import find_run

    found = find_run(run)
    client.send(found, "checkpoint")
    stderr.say(f"{found.name} writes a checkpoint after this step")


def preview(
    run: options.RunArgument = None,
    every: Annotated[
        int | None,
        typer.Option(
            "--every", metavar="STEPS", min=0, help="From now on, one every STEPS; 0: none."
        ),
    ] = None,
) -> None:
    """Draw preview pictures now, or change how often they are drawn.

    Example:  bas preview teapot --every 50
    """
    from bas_tui import client
    from engine.runs.library import find_run

    found = find_run(run)
    if every is None:
        client.send(found, "preview")
        stderr.say(f"{found.name} draws a preview after this step")
    else:
        client.send(found, "set", key="preview.every", value=every)
        stderr.say(f"{found.name} draws a preview every {every} steps")


def resume(
    run: options.RunArgument = None,
    set_: options.SetOption = None,
    detach: options.DetachOption = False,
    plain: options.PlainOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Go on with a paused run, or from the last checkpoint of one that stopped, failed or died.

    Example:  bas resume teapot --set phase2.learning_rate=1e-6

    --set changes settings of a run that has no process, from its last checkpoint on.
    """
    from bas_tui import client
    from bas_tui.cli.attach import attach, generate_command
    from bas_tui.cli.train import launch
    from engine.core.errors import UserError
    from engine.core.settings import parse_words
    from engine.runs.description import describe
    from engine.runs.library import find_run
    from engine.runs.liveness import host_pid

    found = find_run(run)
    info = describe(found)
    if info.state == "finished":
        client.tidy(found)
        raise UserError(f"{found.name} is finished", f"draw with it: {generate_command(found)}")
    if host_pid(found) is None or info.state in ("stopped", "failed"):
        client.change_settings(found, parse_words(set_ or ()))
        raise typer.Exit(launch(found, detach=detach, plain=plain, as_json=as_json))
    if set_:
        raise UserError(f"{found.name} has its settings in use", f"bas stop {found.name} first")
    if info.state != "paused":
        raise UserError(f"{found.name} is training already", f"look at it: bas watch {found.name}")
    client.send(found, "resume")
    if detach:
        stderr.say(f"{found.name} goes on")
        return
    raise typer.Exit(attach(found, as_json=as_json, plain=plain, owner=True))


def rm(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's name or the start of it.",
            autocompletion=options.complete_run,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
) -> None:
    """Delete a run with its pictures, checkpoints and concepts.

    Example:  bas rm teapot-1122 --yes
    """
    from engine.core.errors import UserError
    from engine.runs.description import describe
    from engine.runs.library import find_run, remove_run
    from engine.runs.liveness import host_pid

    found = find_run(run)
    if host_pid(found) is None and not yes:
        info = describe(found)
        if not stderr.is_interactive():
            raise UserError(f"{found.name} would be deleted for good", "say so with --yes")
        names = " ".join(f"<{concept.name}>" for concept in info.concepts)
        answer = stderr.ask(f"delete {found.name} ({info.state}, {names}) for good? [y/N]")
        if answer not in ("y", "yes"):
            stderr.say("kept")
            return
    remove_run(found)
    stderr.say(f"deleted {found.name}")


def record(info: RunInfo) -> dict[str, object]:
    """A run as one JSON object."""
    return {
        "run": info.run.name,
        "path": str(info.run.path),
        "state": info.state,
        "step": info.step,
        "total_steps": info.total_steps,
        "phase": info.phase,
        "loss": info.loss,
        "base": info.base,
        "concepts": [vars(concept) for concept in info.concepts],
        "created": info.created,
        "message": info.message,
    }


def useful_commands(run: RunDir, info: RunInfo) -> list[str]:
    """What one can do with a run in its state, as command lines."""
    from bas_tui.cli.attach import generate_command
    from engine.runs.folder import has_concepts

    commands: list[str] = []
    if has_concepts(run.concepts):
        commands.append(generate_command(run))
    if info.state in ("training", "paused"):
        commands += [f"bas watch {run.name}", f"bas stop {run.name}"]
    if info.state in ("new", "paused", "stopped", "failed", "interrupted"):
        commands.append(f"bas resume {run.name}")
    return commands


def count(folder: Path, pattern: str) -> int:
    """How many visible files a folder holds."""
    return sum(not path.name.startswith(".") for path in folder.glob(pattern))
