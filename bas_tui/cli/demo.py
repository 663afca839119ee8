"""`bas demo`: the whole way on a bundled scene, from photo to new pictures, in minutes."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bas_tui.cli.sheet import Column
    from engine.runs.folder import RunDir

PLACES = ("in the desert", "on the grass")
"""Where each thing is drawn alone; one place names what the masked loss leaves open."""
TOGETHER = "on the beach"
PICTURES = 2
SEED = 0
PREVIEWS = ("preview.every=80",)
"""Fewer than usual: a demo is waited for."""


def demo(
    scene: Annotated[
        str | None,
        typer.Option(
            "--scene",
            metavar="NAME",
            help="Which bundled scene; --list names them.",
            autocompletion=lambda: _scenes(),
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", metavar="", help="Name the bundled scenes.")
    ] = False,
    set_: options.SetOption = None,
    images: options.ImagesOption = options.Images.auto,
    plain: options.PlainOption = False,
) -> None:
    """Learn two things of a bundled picture and draw them anew; needs no network and no GPU.

    Example:  bas demo --scene rocket_cactus

    Less than two minutes on two free cores, six on busy ones. Its run stays, for `bas gen` and all
    the rest; stdout gets the paths of the pictures.
    """
    from bas_tui import client
    from bas_tui.cli.attach import attach
    from bas_tui.cli.generate import draw
    from bas_tui.cli.sheet import Column
    from bas_tui.cli.train import make_run, start
    from engine.core.errors import UserError
    from engine.pocket import demo_scene

    scenes = _scenes()
    if list_:
        for name in scenes:
            stdout.line(name)
        return
    chosen = scene or scenes[0]
    if chosen not in scenes:
        raise UserError(f"there is no demo scene {chosen!r}", f"take one of {', '.join(scenes)}")
    picture, masks = demo_scene(chosen)
    run = make_run(
        picture,
        list(masks.values()),
        base="pocket",
        set_words=(*PREVIEWS, *(set_ or ())),
        stem=chosen,
    )
    stderr.say(f"the scene: {picture}")
    stdout.picture(picture, images.value)
    start(run)
    code = attach(run, as_json=False, plain=plain, owner=True, show_from=0, hint=False)
    if code != stderr.DONE:
        raise typer.Exit(code)
    names = [f"<{name}>" for name in masks]
    subjects = [f"{name} {place}" for name, place in zip(names, cycle(PLACES), strict=False)]
    subjects.append(f"{' and '.join(names)} {TOGETHER}")
    columns = [Column("the scene", [picture])]
    with client.Generator() as generator:
        for subject in subjects:
            prompt = f"a photo of {subject}"
            stderr.say(f"\n{prompt}", "bold")
            request = client.GenerationRequest(
                run=run, prompt=prompt, out=run.pictures, seed=SEED, count=PICTURES
            )
            drawn = draw(generator, request, images="none")
            if drawn.code != stderr.DONE:
                raise typer.Exit(drawn.code)
            columns.append(Column(subject, drawn.paths))
    _show_sheet(run, columns, images.value)
    both = " and ".join(names)
    stderr.say(f"all pictures are in {run.pictures}", "green")
    stderr.say("now try")
    stderr.say(f'  bas gen "a painting of {both} in snow"')
    stderr.say(f"  bas show {run.name}")
    stderr.say("  bas train YOUR_PHOTO.jpg --masks FIRST_THING.png --masks SECOND_THING.png")


def _show_sheet(run: RunDir, columns: Sequence[Column], images: stdout.Images) -> None:
    """What the demo comes to: the scene, each thing alone, all together."""
    from bas_tui.cli import sheet
    from engine.core.errors import UserError

    path = run.pictures / "demo.png"
    stderr.say("")
    try:
        sheet.save(columns, path)
        sheet.show(columns, path, images)
    except UserError as problem:
        stderr.note("warning", problem.message, problem.remedy)
        return
    stderr.say(f"all on one sheet: {path}")


def _scenes() -> list[str]:
    from engine.pocket import demo_scenes

    return list(demo_scenes())
