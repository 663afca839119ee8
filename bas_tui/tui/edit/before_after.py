"""A candidate in the photo's place, at the same size and zoom, and the photo again."""

from __future__ import annotations

import cv2
import numpy as np

from bas_tui.tui.drawing.halfblock import Pixels, load_picture
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.picture_files import Picture


class BeforeAfter:
    """Flips the canvas of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def flipped(self) -> bool:
        """Whether a candidate is shown."""
        return self._desk.canvas.instead is not None

    def show_photo(self) -> None:
        """The photo with its regions."""
        if self.flipped:
            self._put(None)
            self._desk.screen.query_one(MaskTools).busy = ""

    def show(self, picture: Picture) -> None:
        """A candidate, once its file is read."""
        document, screen = self._desk.document, self._desk.screen
        if document is None:
            return
        height, width = document.shape
        photo = document.image

        def load() -> None:
            pixels = load_picture(picture.path)
            if pixels is not None and pixels.shape[:2] != (height, width):
                small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
                pixels = np.asarray(small, np.uint8)
            screen.app.call_from_thread(self._loaded, picture, photo, pixels)

        screen.run_worker(load, thread=True, exclusive=True, group="candidate", exit_on_error=False)

    def show_full(self, picture: Picture | None) -> None:
        """What the canvas shows, on the whole terminal."""
        screen, document = self._desk.screen, self._desk.document
        if self.flipped and picture is not None:
            screen.app.push_screen(FullPicture(picture.path))
        elif document is not None:
            screen.app.push_screen(FullPicture(document.image))

    def _loaded(self, picture: Picture, photo: Pixels, pixels: Pixels | None) -> None:
        document, screen = self._desk.document, self._desk.screen
        if document is None or document.image is not photo:
            return  # Another photo was opened while the candidate was read.
        if pixels is None:
            screen.say(f"{picture.path.name} cannot be read", "error")
        else:
            self._put(pixels)
            screen.query_one(MaskTools).busy = "after"

    def _put(self, pixels: Pixels | None) -> None:
        self._desk.canvas.instead = pixels
        self._desk.canvas.changed()
