"""What was drawn into the open photo: under way, finished, from earlier times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from bas_tui.tui.compose.drawing_queue import DrawingQueue
from bas_tui.tui.compose.drawing_state import Drawing
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.picture_shelf import PictureShelf
from bas_tui.tui.compose.progress_line import ProgressLine
from bas_tui.tui.compose.prompt_settings import PromptSettings
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.shell.picture_files import Picture
from engine.core.errors import BasError
from engine.runs.events import GenerationStarted
from engine.runs.requests import GenerationRequest


class Candidates(Vertical):
    """A gallery that asks for drawings and shows what becomes of them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.queue = DrawingQueue(self.post_message, desk.screen.bas.drawing.generator)
        self.shelf = PictureShelf(self.post_message)

    def compose(self) -> ComposeResult:
        """The gallery."""
        yield Gallery(id="gallery", empty=("No candidates yet.", "Paint, then ctrl+g draws them."))

    def on_unmount(self) -> None:
        """Nobody is told of a drawing any more."""
        self.queue.close()

    @property
    def _gallery(self) -> Gallery:
        return self.query_one(Gallery)

    @property
    def chosen(self) -> Picture | None:
        """The chosen candidate."""
        return self._gallery.current

    def with_chosen(self, act: Callable[[Picture], object]) -> None:
        """Do something with the chosen candidate, or say that there is none."""
        if self.chosen is None:
            self._desk.screen.say("there is no candidate yet: ctrl+g draws some", "warning")
        else:
            act(self.chosen)

    def reset(self) -> None:
        """All of them, at the default size."""
        self._gallery.mode, self._gallery.marked = "all", []
        self._gallery.action_size(0)

    def start(self, request: GenerationRequest) -> None:
        """Draw; nothing else may be under way."""
        self.queue.start(request)
        self._changed()
        self._gallery.action_move_to(0)

    def cancel(self) -> None:
        """Ask for the end of the drawing."""
        self.queue.cancel()
        self.show_progress()

    @on(DrawingQueue.Drawn)
    def _drawn(self, message: DrawingQueue.Drawn) -> None:
        """Something happened to a drawing."""
        drawing = self.queue.take(message)
        if drawing is None:
            return
        if isinstance(message.event, GenerationStarted):
            settings = self._desk.screen.query_one(PromptSettings)
            settings.settings = dataclasses.replace(settings.settings, seed=message.event.seed)
        if drawing.ended is not None:
            self._ended(drawing)
        else:
            self.show()
            self.show_progress()

    @on(DrawingQueue.CouldNotDraw)
    def _could_not_draw(self, message: DrawingQueue.CouldNotDraw) -> None:
        """A drawing could not be handed in."""
        if self.queue.give_up(message):
            self._changed()
            self._desk.screen.bas.show_error(message.error)

    def _ended(self, drawing: Drawing) -> None:
        fresh = [drawing.saved[index] for index in sorted(drawing.saved)]
        self.shelf.add(drawing.request.run, fresh)
        self._changed()
        ended = drawing.ended
        assert ended is not None
        if ended.outcome == "failed":
            self._desk.screen.bas.show_error(BasError(ended.message, ended.remedy))
        elif ended.outcome == "cancelled":
            self._desk.screen.say(f"cancelled; {len(fresh)} finished candidates stay")
        else:
            words = "a shows the chosen one in the photo's place, s saves it, t goes on from it"
            self._desk.screen.say(words)

    def _changed(self) -> None:
        self._desk.screen.query_one(PromptSettings).busy = self.queue.current is not None
        self._desk.screen.app.refresh_bindings()
        self._desk.changed()
        self.show()
        self.show_progress()

    @on(PictureShelf.Found)
    def _found(self, message: PictureShelf.Found) -> None:
        """A run's folder was read."""
        self.shelf.put_first(message.run, message.pictures)
        self.show()

    def show(self) -> None:
        """Those of the open photo."""
        drawing, file = self.queue.current, self._desk.file
        name = file.photo.stem if file is not None else ""
        tiles = self.shelf.tiles(drawing.tiles() if drawing is not None else ())
        shown = [one for one in tiles if one.picture is None or one.picture.recipe.photo == name]
        self._gallery.show(shown if name else (), runs=max(1, self.shelf.runs))

    def show_progress(self) -> None:
        """The line above: how the drawing goes, else what the chosen one is."""
        self._desk.screen.query_one(ProgressLine).show(self.queue.current, self._gallery)

    def removed(self, picture: Picture) -> None:
        """A candidate's file is gone."""
        self.shelf.remove(picture)
        self._desk.changed()
        self.show()
        self.show_progress()
