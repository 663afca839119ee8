"""`bas vary`: the scene of a run again, and again."""

from __future__ import annotations

from typing import Annotated

import typer

from bas_tui.cli import options
from bas_tui.cli.generate import (
    DeviceOption,
    Guidance,
    Negative,
    Out,
    Seed,
    Steps,
    check_folder,
    finish,
)


def vary(
    run: options.RunArgument = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, help="How many pictures.")
    ] = 8,
    strength: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0.05,
            max=1.0,
            help="How far from the photo: 1 uses only the learned things, 0.5 keeps every place.",
        ),
    ] = 0.8,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT",
            help="Another prompt, such as one that ends in snow.",
            autocompletion=options.complete_prompt,
            show_default="all learned things together",
        ),
    ] = None,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    negative: Negative = "",
    out: Out = None,
    device: DeviceOption = options.Device.auto,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Draw variations of a run's scene: all its things, from the photo under noise.

    Example:  bas vary teapot -n 8 --strength 0.7

    The sheet shows the photo first, then the pictures, the most complete ones first. --strength 1
    begins with noise alone, and its sheet has no photo.
    """
    from bas_tui import client
    from engine.runs.manifest import read_manifest
    from engine.runs.prompts import all_together

    found = options.run_to_draw(run)
    manifest = read_manifest(found)
    if prompt is None:
        prompt = all_together(manifest.concepts, manifest.grammar, by_name=True)
    request = client.GenerationRequest(
        run=found,
        prompt=prompt,
        picture=found.scene / "image.png" if strength < 1 else None,
        noise=strength,
        out=check_folder(out or found.pictures),
        negative=negative,
        seed=seed,
        count=count,
        steps=steps,
        guidance=guidance,
        device=device.value,
    )
    finish(request, images=images.value, as_json=as_json)
