"""`bas edit`: learned things drawn into regions of any photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bas_tui.cli import options
from bas_tui.cli.generate import (
    DeviceOption,
    Embeddings,
    Guidance,
    Loras,
    Negative,
    Others,
    Out,
    Seed,
    Steps,
    Strength,
    check_folder,
    finish,
)
from bas_tui.cli.open_app import can_open
from bas_tui.cli.open_app import start as start_application


def edit(
    photo: Annotated[
        Path, typer.Argument(metavar="PHOTO", help="A PNG, JPEG or WebP picture of any size.")
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT...",
            help="What to draw in each region, one for each --mask and in their order.",
            autocompletion=options.complete_prompt,
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            "-m",
            metavar="REGION",
            help="A picture of the photo's size, white where it may change; or a box in percent: "
            "left,top,right,bottom. Once for each prompt.",
            show_default=False,
        ),
    ] = None,
    run: options.RunOption = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, help="How many candidates.")
    ] = 4,
    start: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0.0,
            max=0.95,
            help="How much of what is there is kept: 0 draws from noise alone, 0.5 changes the "
            "thing that is there.",
        ),
    ] = 0.25,
    decoder_steps: Annotated[
        int,
        typer.Option(
            "--decoder-steps",
            metavar="N",
            min=0,
            help="Fit a copy of the decoder to the photo in N steps, for each region and "
            "candidate: the edge is seen less and the thing keeps its outline. 75 is usual; 0 "
            "fades the new pixels in.",
        ),
    ] = 0,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    strength: Strength = 1.0,
    lora: Loras = None,
    embedding: Embeddings = None,
    with_: Others = None,
    negative: Negative = "",
    out: Out = None,
    device: DeviceOption = options.Device.auto,
    images: options.ImagesOption = options.Images.auto,
    as_json: options.JsonOption = False,
) -> None:
    """Draw learned things into a photo; outside the regions it stays as it is.

    Example:  bas edit kitchen.jpg "<teapot>" --mask shelf.png -n 4

    Example:  bas edit kitchen.jpg "<teapot>" --mask 10,40,50,90

    Several regions:  bas edit kitchen.jpg "<teapot>" "<penguin>" -m shelf.png -m floor.png

    With neither prompt nor mask it opens the Edit screen, where regions are painted.

    Things of another run: --with RUN, or edit again with --run. The sheet shows the photo first.
    """
    from bas_tui import client
    from engine.core.errors import UserError
    from engine.runs.requests import EditRegion, PhotoEdit

    prompts, masks = prompts or [], masks or []
    if not prompts and not masks and not as_json and can_open(False):
        client.check_photo(photo)
        start_application("edit", photo=photo, run=str(options.run_to_draw(run).path))
    if len(prompts) != len(masks) or not prompts:
        raise UserError(
            f"{len(prompts)} prompts for {len(masks)} masks",
            "give one --mask for each prompt, in their order",
        )
    regions = [EditRegion.parse(mask, prompt) for mask, prompt in zip(masks, prompts, strict=True)]
    asked = PhotoEdit(
        photo=photo.expanduser(),
        regions=tuple(regions),
        start=start,
        decoder_steps=decoder_steps,
    )
    client.check_edit(asked)
    found = options.run_to_draw(run)
    additions = client.read_additions(found, lora or [], embedding or [], with_ or [])
    request = client.GenerationRequest(
        run=found,
        prompt=asked.prompts,
        edit=asked,
        out=check_folder(out or found.pictures),
        negative=negative,
        seed=seed,
        count=count,
        steps=steps,
        guidance=guidance,
        strength=strength,
        additions=additions,
        device=device.value,
    )
    finish(request, images=images.value, as_json=as_json)
