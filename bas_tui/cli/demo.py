"""`bas demo`: the whole way on a bundled scene, from photo to new pictures, in minutes."""

from __future__ import annotations

from itertools import cycle
from typing import Annotated

import typer

from bas_tui.cli import options, stderr, stdout

PLACES = ("in the desert", "on the grass")
"""Where each thing is drawn alone; one place names what the masked loss leaves open."""
TOGETHER = "on the beach"
PICTURES = 2


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
    images: options.ImagesOption = options.Images.block,
    plain: options.PlainOption = False,
) -> None:
    """Learn two things of a bundled picture and draw them anew; needs no network and no GPU.

    Example:  bas demo --scene rocket_cactus
    """
    from bas_tui import client
    from bas_tui.cli.attach import attach
    from bas_tui.cli.generate import draw
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
    run = make_run(picture, list(masks.values()), base="pocket", set_words=set_ or (), stem=chosen)
    stderr.say(f"the scene: {picture}")
    stdout.picture(picture, images.value)
    start(run)
    code = attach(run, as_json=False, plain=plain, owner=True, show_from=0, hint=False)
    if code != stderr.DONE:
        raise typer.Exit(code)
    names = [f"<{name}>" for name in masks]
    prompts = [
        f"a photo of {name} {place}" for name, place in zip(names, cycle(PLACES), strict=False)
    ]
    prompts.append(f"a photo of {' and '.join(names)} {TOGETHER}")
    with client.Generator() as generator:
        for prompt in prompts:
            stderr.say(f"\n{prompt}", "bold")
            request = client.GenerationRequest(
                run=run, prompt=prompt, out=run.pictures, seed=0, count=PICTURES
            )
            code = draw(generator, request, images=images.value)
            if code != stderr.DONE:
                raise typer.Exit(code)
    both = " and ".join(names)
    stderr.say(f"\nall pictures are in {run.pictures}", "green")
    stderr.say("now try")
    stderr.say(f'  bas gen "a painting of {both} in snow"')
    stderr.say(f"  bas show {run.name}")
    stderr.say("  bas train YOUR_PHOTO.jpg --masks FIRST_THING.png --masks SECOND_THING.png")


def _scenes() -> list[str]:
    from engine.pocket import demo_scenes

    return list(demo_scenes())
