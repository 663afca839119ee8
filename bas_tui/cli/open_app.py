"""Doors to the terminal application: bare `bas`, `bas open`, `bas attach`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from bas_tui.cli import options, stderr, streams


def can_open(plain: bool) -> bool:
    """Whether the application can run here: on a terminal on all sides, and lines not asked for.

    It draws through stderr, as Textual does.
    """
    return not plain and all(streams.live(number) for number in range(3))


def start(
    screen: str,
    low_bandwidth: bool | None = None,
    color: str = "auto",
    images: str = "auto",
    **arguments: Any,
) -> None:
    """Run the application on one of its screens; ends with its exit code."""
    from bas_tui.tui.run_app import run

    raise typer.Exit(
        run(screen, low_bandwidth=low_bandwidth, color=color, images=images, **arguments)
    )


def open_(
    scene: Annotated[
        Path,
        typer.Argument(metavar="SCENE", help="An image, or a folder with an image and masks."),
    ],
    masks: Annotated[
        Path | None,
        typer.Option("--masks", "-m", metavar="M", help="A mask, a folder of masks, a label map."),
    ] = None,
    base: options.BaseOption = None,
    segmenter: options.SegmenterOption = "embedded",
    words_by: options.WordsByOption = "",
    low_bandwidth: options.LowBandwidthOption = None,
    color: options.ColorOption = options.Color.auto,
    images: options.AppImagesOption = options.AppImages.auto,
    plain: options.PlainOption = False,
) -> None:
    """Open a picture: click on its things, look at the masks, mend them, and train.

    Example:  bas open desk.jpg

    Where no application can run, it checks the scene and says the command that trains it.
    """
    if base is not None:
        from bas_tui.client import resolve_base

        base = resolve_base(base, ask_hub=False)
    if not can_open(plain):
        from bas_tui.cli.train import ask_and_load, say_scene

        loaded = ask_and_load(scene, [masks] if masks else [])
        say_scene(loaded)
        names = ", ".join(loaded.names)
        stderr.say(f"{loaded.side}x{loaded.side} pixels, {len(loaded.concepts)} things: {names}")
        words = ["bas", "train", str(scene), *(["--masks", str(masks)] if masks else [])]
        stderr.say(f"train it: {shlex.join(words + (['--base', base] if base else []))}")
        return
    from engine.core.errors import UserError

    for path in (scene, masks):
        if path is not None and not path.expanduser().exists():
            raise UserError(f"there is no {path}", "check the path")
    start(
        "scene", low_bandwidth, color, images, scene=scene, masks=masks, base=base,
        segmenter=segmenter, words_by=words_by,
    )  # fmt: skip


def attach(
    run: options.RunArgument = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", metavar="", help="Only look; no key stops or pauses it.")
    ] = False,
    low_bandwidth: options.LowBandwidthOption = None,
    color: options.ColorOption = options.Color.auto,
    images: options.AppImagesOption = options.AppImages.auto,
    plain: options.PlainOption = False,
) -> None:
    """Open a run in the application: losses, attention maps, previews; live or finished.

    Example:  bas attach teapot
    """
    from engine.runs.library import find_run

    found = find_run(run)
    if not can_open(plain):
        from bas_tui.cli.attach import attach as follow

        raise typer.Exit(follow(found, as_json=False, plain=plain, owner=False))
    start("train", low_bandwidth, color, images, run=str(found.path), control=not read_only)
