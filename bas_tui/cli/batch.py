"""`bas batch`: every scene of a folder, one after another or on many GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout
from engine.core.extras import need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bas_tui.client.batch import Broken, Planned
    from engine.batch.folder import BatchDir


def batch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Pictures with masks beside them (desk.jpg, desk_masks/), or a folder a scene.",
        ),
    ],
    base: options.BaseOption = None,
    set_: options.SetOption = None,
    method: options.MethodOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Its name.", show_default="the folder's")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=0, help="Scenes at a time.", show_default="one a GPU"),
    ] = 0,
    executor: Annotated[
        options.Executor, typer.Option(help="This machine, or a Ray cluster (RAY_ADDRESS).")
    ] = options.Executor.local,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", metavar="", help="Train the others where a scene is wrong."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Only say what would be trained.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", metavar="", help="Only look; Ctrl-C leaves it running.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", metavar="", help="End it; its runs write a checkpoint first.")
    ] = False,
    plain: options.PlainOption = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            "-d",
            metavar="",
            help="Start it and return; see `bas batch FOLDER --watch`.",
        ),
    ] = False,
) -> None:
    r"""Learn every scene of a folder. Given again, it goes on where it was.

    Example:  bas batch photos/ --base sd21

    Every scene becomes an ordinary run FOLDER-SCENE for `bas gen`, `bas show`, `bas stop`.
    Settings for all stand in FOLDER/bas.toml, those of a scene in its own bas.toml or beside the
    picture in desk.toml; a table \[scene] there takes base, method and init. At the end a report
    shows photo, pictures and loss of each. Closing this terminal does not end it, Ctrl-C does.
    """
    from bas_tui.client.batch import Choice, make_batch, plan_batch
    from engine.core.settings import parse_words

    if watch or stop:
        _look(_existing(folder, name), end=stop, plain=plain)
        return
    if executor is options.Executor.ray:
        need("ray", "ray")
    over = Choice(settings=parse_words(set_ or ()), base=base, method=method)
    with stderr.waiting("reading the scenes"):
        place, planned, broken = plan_batch(folder, name, over)
    _say_broken(broken)
    if check:
        _show_plan(planned)
        raise typer.Exit(stderr.BAD_INPUT if broken else stderr.DONE)
    if broken and not (skip_broken and planned):
        stderr.say(f"{len(broken)} of {len(broken) + len(planned)} scenes cannot be trained")
        stderr.error("nothing was started", "mend them, or leave them out: --skip-broken")
        raise typer.Exit(stderr.BAD_INPUT)
    if place.driver.lives:
        stderr.say(f"{place.name} is running already; this terminal follows it")
    else:
        make_batch(place, folder, planned)
        stderr.say(f"{place.name}: {len(planned)} scenes")
        place.driver.start("--jobs", str(jobs), "--executor", executor.value)
    if detach:
        stdout.line(place.name)
        again = f"bas batch {folder}" + (f" --name {name}" if name else "")
        stderr.say(f"look at it: {again} --watch · end it: {again} --stop")
        return
    _follow_to_the_end(place)


def _existing(folder: Path, name: str | None) -> BatchDir:
    from bas_tui.client.batch import batch_name
    from engine.batch.folder import BatchDir, batches_dir
    from engine.core.errors import UserError

    place = BatchDir(batches_dir() / batch_name(folder.expanduser().resolve(), name))
    if not place.plan.is_file():
        raise UserError(f"there is no batch {place.name!r} yet", f"start it: bas batch {folder}")
    return place


def _look(place: BatchDir, *, end: bool, plain: bool) -> None:
    from bas_tui.cli import batch_view, open_app

    if end:
        if place.driver.lives:
            _stop(place)
        else:
            stderr.say(f"{place.name} is not running")
        return
    if open_app.can_open(plain):
        open_app.start("batch", batch=place.name)
    batch_view.follow(place)
    raise typer.Exit(_conclude(place))


def _follow_to_the_end(place: BatchDir) -> None:
    from bas_tui.cli import batch_view

    try:
        batch_view.follow(place)
    except KeyboardInterrupt:
        _stop(place)
        raise
    raise typer.Exit(_conclude(place))


def _stop(place: BatchDir) -> None:
    with stderr.waiting("waiting for the checkpoints of the running scenes"):
        state = place.driver.stop()
    stderr.say(f"{state}; the same command goes on with it")


def _conclude(place: BatchDir) -> int:
    """Say how it ended, write the report; the exit code."""
    from bas_tui.cli import batch_view
    from engine.batch.report import write_report
    from engine.batch.status import status
    from engine.jobs.driver import last_line

    now = status(place)
    batch_view.show(now)
    stderr.say(f"report: {write_report(place)}")
    if now.done == len(now.rows):
        return stderr.DONE
    if not any(row.step for row in now.rows) and not now.failed:
        stderr.error(last_line(place.log) or "nothing was trained", f"see {place.log}")
    else:
        stderr.say(f"{now.done} of {len(now.rows)} scenes are done; the same command goes on")
    return stderr.FAILED


def _say_broken(broken: Sequence[Broken]) -> None:
    for each in broken:
        stderr.error(f"{each.name}: {each.error.message}", each.error.remedy)


def _show_plan(planned: Sequence[Planned]) -> None:
    from bas_tui.client.create import changed_settings
    from engine.core.settings import setting_words

    rows: list[tuple[str, ...]] = []
    for each in planned:
        for finding in each.scene.findings:
            stderr.note(finding.level, f"{each.entry.name}: {finding.message}", finding.remedy)
        settings = " ".join(setting_words(changed_settings(each.settings)))
        rows.append((each.entry.name, ", ".join(each.scene.names), Path(each.base).name, settings))
    stdout.table(("scene", "things", "base", "settings"), rows, ("bold", "", "", "dim"))
