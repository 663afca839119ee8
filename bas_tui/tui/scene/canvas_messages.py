"""What the mask canvas tells its screen."""

from __future__ import annotations

from textual.message import Message

from engine.scenes.pixel_box import Box, Point


class Edited(Message):
    """The document changed; `done` is false while a stroke is under way."""

    def __init__(self, done: bool = True) -> None:
        super().__init__()
        self.done = done


class BoxDrawn(Message):
    """A box was drawn around a thing."""

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box


class Pointed(Message):
    """A place was pointed at that is of the thing, or is not."""

    def __init__(self, at: Point, adds: bool) -> None:
        super().__init__()
        self.at, self.adds = at, adds


class Decided(Message):
    """What was found is taken, or dropped."""

    def __init__(self, taken: bool) -> None:
        super().__init__()
        self.taken = taken


class StateChanged(Message):
    """Tool, size, zoom or cursor changed."""
