"""Reads the things that `bas masks` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.core.errors import UserError
from engine.scenes.mask_names import concept_names
from engine.scenes.pixel_box import Box, Point
from engine.segments.contract import Click


@dataclass(kw_only=True)
class Thing:
    """A thing to find, in pixels of the picture that is looked at."""

    name: str
    words: str = ""
    """What it is called, where it is found by that; else empty."""
    clicks: list[Click] = field(default_factory=list)
    box: Box | None = None
    pick: int = 1


def asked_things(
    words: Sequence[str],
    points: Sequence[str],
    boxes: Sequence[str],
    picks: Sequence[str],
    *,
    size: tuple[int, int],
    seen: tuple[int, int],
    everything: bool = False,
) -> list[Thing]:
    """Things in the order of their first mention; raises UserError for what cannot be read.

    `size` is the photo's width and height, `seen` that of the picture that is looked at. Of
    `everything` a pick alone names a thing.
    """
    scale = seen[0] / size[0], seen[1] / size[1]
    things: dict[str, Thing] = {}
    for text in words:
        if not text.strip():
            raise UserError("a thing needs a word", 'as in: bas masks PHOTO teapot "red ball"')
        things[text.strip()] = Thing(name=text.strip(), words=text.strip())
    for text in points:
        name, value = _split(text, "--point NAME=X,Y")
        adds = not value.startswith("!")
        x, y = _numbers(value.removeprefix("!"), 2, text, "--point NAME=X,Y")
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            raise UserError(
                f"{text!r} lies outside the photo, which is {size[0]}x{size[1]}",
                f"x is 0 to {size[0] - 1}, y is 0 to {size[1] - 1}",
            )
        thing = _by_place(things, name)
        thing.clicks.append(Click(Point((x + 0.5) * scale[0], (y + 0.5) * scale[1]), adds))
    for text in boxes:
        name, value = _split(text, "--box NAME=X0,Y0,X1,Y1")
        x0, y0, x1, y1 = _numbers(value, 4, text, "--box NAME=X0,Y0,X1,Y1")
        # Any two opposite corners are a box.
        corners = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
        if corners[0] >= size[0] or corners[1] >= size[1] or min(corners[2:]) <= 0:
            raise UserError(
                f"{text!r} lies outside the photo, which is {size[0]}x{size[1]}",
                "give two opposite corners around the thing",
            )
        thing = _by_place(things, name)
        if thing.box is not None:
            raise UserError(f"there are two boxes for {name}", "give each thing its own name")
        thing.box = Box(*(round(v * scale[k % 2]) for k, v in enumerate(corners)))
    if everything and things:
        raise UserError(
            "--everything looks for all things", "leave out words, --point and --box, or it"
        )
    for text in picks:
        name, value = _split(text, "--pick NAME=N")
        if name not in things:
            if not everything:
                raise UserError(f"no thing is named {name}", "give its word, --point or --box")
            things[name] = Thing(name=name)
        (number,) = _numbers(value, 1, text, "--pick NAME=N")
        if number < 1:
            raise UserError(f"there is no candidate {value}", "the first is 1")
        things[name].pick = int(number)
    if not things and not everything:
        raise UserError(
            "nothing says where the things are",
            "give --point NAME=X,Y or --box NAME=X0,Y0,X1,Y1 for each, or bas open PHOTO",
        )
    # As the names of files: all different, and such as a token can have.
    names, _ = concept_names(list(things))
    return [replace(thing, name=name) for thing, name in zip(things.values(), names, strict=True)]


def _by_place(things: dict[str, Thing], name: str) -> Thing:
    """The thing of that name, which from now on is found by its place and not by its name."""
    thing = things.setdefault(name, Thing(name=name))
    thing.words = ""
    return thing


def _split(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not equals or not name.strip():
        raise UserError(f"{text!r} names no thing", f"write {form}")
    return name.strip(), value.strip()


def _numbers(value: str, count: int, text: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(-1e6 < number < 1e6 for number in numbers):
        raise UserError(f"{text!r} cannot be read", f"write {form}, in pixels of the photo")
    return numbers
