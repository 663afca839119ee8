"""`bas masks`: masks of things by a click or a box each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from engine.scenes.mask_ops import Mask, Picture

TINT = (86, 180, 233)


def masks(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture with the things.")],
    points: Annotated[
        list[str],
        typer.Option(
            "--point",
            metavar="NAME=X,Y",
            default_factory=list,
            show_default=False,
            help="A pixel of the thing; may be given again for the same name. NAME=!X,Y is a "
            "pixel that is not of it.",
        ),
    ],
    boxes: Annotated[
        list[str],
        typer.Option(
            "--box",
            metavar="NAME=X0,Y0,X1,Y1",
            default_factory=list,
            show_default=False,
            help="A box around the thing, in pixels.",
        ),
    ],
    picks: Annotated[
        list[str],
        typer.Option(
            "--pick",
            metavar="NAME=N",
            default_factory=list,
            show_default=False,
            help="Take candidate N of that thing, not the first.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Where the masks go."),
    ] = None,
    images: options.ImagesOption = options.Images.auto,
) -> None:
    """Make masks without painting: a click or a box for each thing.

    Example:  bas masks photo.jpg --point teapot=120,200 --box penguin=250,40,420,330

    Writes NAME.png for each thing to PHOTO_masks, where bas train finds them. No model is
    downloaded. In bas open a box drawn with the mouse does nearly the same, by GrabCut alone.
    """  # fmt: skip
    from bas_tui.cli.mask_words import asked_things
    from bas_tui.tui.scene.document import ConceptMask
    from bas_tui.tui.scene.mask_folder import plan_save, save_masks
    from bas_tui.tui.scene.photo_file import open_bare_photo
    from engine.core.errors import UserError
    from engine.scenes.mask_ops import resized
    from engine.segments.choose import segmenter_of

    file = open_bare_photo(photo)
    height, width = file.image.shape[:2]
    scale = width / file.size[0], height / file.size[1]
    things = asked_things(points, boxes, picks, scale)
    folder = out.expanduser() if out else file.photo.with_name(f"{file.photo.stem}_masks")
    target = plan_save(folder, [thing.name for thing in things])
    if target.overwrites:
        raise UserError(
            f"{folder} has {', '.join(target.overwrites)} already", "choose other names, or -o"
        )
    read = segmenter_of("embedded").read(file.image)
    chosen: list[ConceptMask] = []
    for thing in things:
        with stderr.waiting(f"looking for {thing.name} ..."):
            found = read.at(thing.clicks, thing.box)
        if thing.pick > len(found):
            raise UserError(
                f"there are {len(found)} candidates of {thing.name}", "pick one of those"
            )
        taken = found[thing.pick - 1]
        chosen.append(ConceptMask(thing.name, taken.mask))
        stderr.say(
            f"{thing.name}: {taken.mask.mean():.0%} of the picture, candidate {thing.pick} of "
            f"{len(found)} ({taken.source})"
        )
    written = save_masks(
        target, [one._replace(mask=resized(one.mask, file.size)) for one in chosen]
    )
    for path in written:
        stdout.line(str(path))
    _show(file.image, [one.mask for one in chosen], images.value)


def _show(image: Picture, found: list[Mask], images: stdout.Images) -> None:
    """The picture in the terminal, what was found in colour."""
    import tempfile

    import numpy as np
    from PIL import Image

    shown = image.astype(np.float32)
    union = np.logical_or.reduce(found)
    shown[union] = 0.5 * shown[union] + 0.5 * np.array(TINT, np.float32)
    with tempfile.TemporaryDirectory(prefix="bas-masks-") as name:
        path = Path(name) / "masks.png"
        Image.fromarray(shown.round().astype(np.uint8)).save(path)
        stdout.picture(path, images)
