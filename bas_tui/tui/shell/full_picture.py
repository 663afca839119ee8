"""One picture on the whole terminal, at full size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen

from bas_tui.tui.drawing.halfblock import Photograph, Pixels, fitted_size, load_picture


class FullPicture(ModalScreen[None]):
    """As large as the terminal allows; every key that one would try closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,f,v,enter,space", "close", "Close")]

    def __init__(self, picture: Path | Pixels) -> None:
        super().__init__()
        self._path = picture if isinstance(picture, Path) else None
        """The file to be read; None where the pixels are here."""
        self._pixels = None if isinstance(picture, Path) else picture

    def compose(self) -> ComposeResult:
        """Nothing but the picture."""
        yield Photograph()

    def on_mount(self) -> None:
        """Read the file off the event loop."""
        if self._path is not None:
            self.run_worker(partial(self._load, self._path), thread=True)

    def _load(self, path: Path) -> None:
        self._pixels = load_picture(path)
        self.app.call_from_thread(self._fit)

    def on_resize(self) -> None:
        """Another size of the terminal."""
        self._fit()

    def _fit(self) -> None:
        pixels = self._pixels
        if pixels is None or not self.is_mounted:
            return
        canvas = self.query_one(Photograph)
        width, height = fitted_size(pixels.shape[1], pixels.shape[0], *self.size)
        canvas.styles.width, canvas.styles.height = width, height
        self.call_after_refresh(canvas.show, pixels)

    def on_click(self) -> None:
        """A click closes, too."""
        self.dismiss()

    def action_close(self) -> None:
        """Back to where it was opened."""
        self.dismiss()
