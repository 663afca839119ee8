"""`bas masks`: masks of things by a word, a click or a box each."""

from __future__ import annotations

import shlex
from collections import abc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bas_tui.cli import options, stderr, stdout

if TYPE_CHECKING:
    from bas_tui.cli.mask_words import Thing
    from bas_tui.client.segmenter import Finder
    from bas_tui.tui.scene.document import ConceptMask
    from bas_tui.tui.scene.photo_file import SceneFile
    from engine.scenes.mask_ops import Mask, Picture
    from engine.segments.contract import Candidate
    from engine.segments.wire import Looking


def masks(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The picture with the things.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[THING]...",
            help='Things by words, as in: teapot "red ball". The segmenter must read words.',
            show_default=False,
        ),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            metavar="NAME=X,Y",
            show_default=False,
            help="A pixel of the thing; may be given again for the same name. NAME=!X,Y is a "
            "pixel that is not of it.",
        ),
    ] = None,
    boxes: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="NAME=X0,Y0,X1,Y1",
            show_default=False,
            help="A box around the thing, in pixels.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            metavar="",
            help="Number all that may be a thing, and show it; --pick NAME=N then takes one.",
        ),
    ] = False,
    picks: Annotated[
        list[str] | None,
        typer.Option(
            "--pick",
            metavar="NAME=N",
            show_default=False,
            help="Take candidate N of that thing, not the first.",
        ),
    ] = None,
    segmenter: options.SegmenterOption = "embedded",
    words_by: options.WordsByOption = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Where the masks go."),
    ] = None,
    images: options.ImagesOption = options.Images.auto,
) -> None:
    """Make masks without painting: a word, a click or a box for each thing.

    Example:  bas masks photo.jpg --point teapot=120,200 --box penguin=250,40,420,330

    Example:  bas masks photo.jpg teapot penguin --words-by CIDAS/clipseg-rd64-refined

    Example:  bas masks photo.jpg --everything, then the same with --pick teapot=2

    Writes NAME.png for each thing to PHOTO_masks, where bas train finds them. The embedded
    segmenter needs no download and reads no words. In bas open the same is done by the mouse.
    """  # fmt: skip
    from bas_tui.cli.mask_words import asked_things
    from bas_tui.client.segmenter import Finder
    from bas_tui.tui.scene.mask_folder import plan_save, save_masks
    from bas_tui.tui.scene.photo_file import open_bare_photo
    from engine.core.errors import UserError
    from engine.scenes.mask_ops import resized

    file = open_bare_photo(photo)
    things = asked_things(
        words or (), points or (), boxes or (), picks or (),
        size=file.size, seen=(file.image.shape[1], file.image.shape[0]), everything=everything,
    )  # fmt: skip
    folder = out.expanduser() if out else file.photo.with_name(f"{file.photo.stem}_masks")
    target = plan_save(folder, [thing.name for thing in things])
    if target.overwrites:
        raise UserError(
            f"{folder} has {', '.join(target.overwrites)} already", "choose other names, or -o"
        )
    with Finder(segmenter, words_by) as finder:
        if everything:
            chosen = _choose_of_all(finder, file, things, images.value, segmenter)
        else:
            chosen = [_find(finder, file.image, thing) for thing in things]
    if not chosen:
        return
    written = save_masks(
        target, [one._replace(mask=resized(one.mask, file.size)) for one in chosen]
    )
    for path in written:
        stdout.line(str(path))
    _show(file.image, {one.name: one.mask for one in chosen}, images.value)


def _find(finder: Finder, image: Picture, thing: Thing) -> ConceptMask:
    with _telling(f"looking for {thing.name} ...") as tell:
        ask = "named" if thing.words else "at"
        found = finder.ask(
            ask, image, clicks=thing.clicks, box=thing.box, words=thing.words, tell=tell
        )
    taken = _picked(found, thing)
    stderr.say(
        f"{thing.name}: {taken.mask.mean():.0%} of the picture, candidate {thing.pick} of "
        f"{len(found)} ({taken.source})"
    )
    from bas_tui.tui.scene.document import ConceptMask

    return ConceptMask(thing.name, taken.mask)


def _choose_of_all(
    finder: Finder, file: SceneFile, things: list[Thing], images: stdout.Images, segmenter: str
) -> list[ConceptMask]:
    """What was picked of all proposals; without a pick they are numbered and shown."""
    from bas_tui.tui.scene.document import ConceptMask

    with _telling("looking everywhere ...") as tell:
        found = finder.ask("everything", file.image, tell=tell)
    if things:
        return [ConceptMask(thing.name, _picked(found, thing).mask) for thing in things]
    from engine.scenes.mask_ops import mask_box

    scale = file.size[0] / file.image.shape[1]
    for number, one in enumerate(found, 1):
        box = mask_box(one.mask)
        corners = " ".join(str(round(value * scale)) for value in box)
        stdout.line(f"{number:>3}  {one.mask.mean():6.1%}  box {corners}  ({one.source})")
    _show(file.image, {str(k): one.mask for k, one in enumerate(found, 1)}, images)
    by = "" if segmenter == "embedded" else f" --segmenter {shlex.quote(segmenter)}"
    photo = shlex.quote(str(file.photo))
    stderr.say(f"take some: bas masks {photo} --everything{by} --pick NAME=NUMBER")
    return []


def _picked(found: list[Candidate], thing: Thing) -> Candidate:
    from engine.core.errors import UserError

    if thing.pick > len(found):
        raise UserError(f"there are {len(found)} candidates of {thing.name}", "pick one of those")
    return found[thing.pick - 1]


@contextmanager
def _telling(text: str) -> abc.Generator[abc.Callable[[Looking], None]]:
    """Shows what the segmenter does; nothing where stderr is no terminal."""
    if not stderr.is_live():
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
    with Progress(*columns, console=stderr.console(), transient=True) as progress:
        task = progress.add_task(text, total=None)

        def tell(event: Looking) -> None:
            progress.update(
                task, description=event.what, total=event.total or None, completed=event.done
            )

        yield tell


def _show(image: Picture, found: dict[str, Mask], images: stdout.Images) -> None:
    """The picture in the terminal, each mask in its colour with its name in its middle."""
    import tempfile

    import cv2
    import numpy as np
    from PIL import Image

    from bas_tui.tui.drawing.palette import concept_color

    shown = image.astype(np.float32)
    # The large ones first, that none is hidden.
    order = sorted(found, key=lambda name: -found[name].sum())
    for name in order:
        color = np.array(concept_color(list(found).index(name)).rgb, np.float32)
        shown[found[name]] = 0.5 * shown[found[name]] + 0.5 * color
    pixels = np.ascontiguousarray(shown.round().astype(np.uint8))
    size = max(image.shape[:2]) / 500
    for name in order:
        if len(found) == 1 or not name.isascii():
            continue
        inside = cv2.distanceTransform(np.pad(found[name], 1).astype(np.uint8), cv2.DIST_L2, 5)
        y, x = divmod(int(np.asarray(inside).argmax()), inside.shape[1])
        (across, down), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        at = x - across // 2, y + down // 2
        for color, width in ((0, 4), (255, 1.6)):
            cv2.putText(
                pixels, name, at, cv2.FONT_HERSHEY_SIMPLEX, size, (color,) * 3,
                max(1, round(width * size)), cv2.LINE_AA,
            )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bas-masks-") as name:
        path = Path(name) / "masks.png"
        Image.fromarray(pixels).save(path)
        stdout.picture(path, images)
