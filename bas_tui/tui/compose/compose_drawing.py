"""Compose screen: requests to the generation process and what comes back of them."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass, field
from pathlib import Path

from textual.message import Message
from textual.worker import get_current_worker

from bas_tui.client import GenerationRequest, Generator
from bas_tui.tui.compose.gallery import Tile
from bas_tui.tui.compose.picture_files import Picture, Recipe, read_picture
from bas_tui.tui.shell.screen import BasScreen
from engine.core.errors import BasError
from engine.runs.events import (
    Event,
    GenerationEnded,
    GenerationStarted,
    GenerationStep,
    PictureSaved,
    Progress,
)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One request under way, as its events tell it."""

    request: GenerationRequest
    stage: str = "starting the generation process"
    """What happens before the first step; empty from then on."""
    seed: int | None = None
    steps: int = 0
    done: dict[int, int] = field(default_factory=dict)
    """Steps done by picture."""
    previews: dict[int, Path] = field(default_factory=dict)
    saved: dict[int, Picture] = field(default_factory=dict)
    ended: GenerationEnded | None = None
    cancelling: bool = False

    @property
    def fraction(self) -> float:
        """Share of all steps that is done, 0..1."""
        total = self.steps * self.request.count
        return min(1.0, sum(self.done.values()) / total) if total else 0.0

    def after(self, event: Event) -> Drawing:
        """The drawing after one more event."""
        match event:
            case Progress():
                share = f" {event.done} of {event.total}" if event.total > 1 else ""
                return dataclasses.replace(self, stage=f"{event.label or event.stage}{share}")
            case GenerationStarted():
                return dataclasses.replace(self, seed=event.seed, steps=event.steps, stage="")
            case GenerationStep():
                previews = dict(self.previews)
                if event.preview:
                    previews[event.index] = Path(event.preview)
                done = {**self.done, event.index: event.step}
                return dataclasses.replace(self, done=done, previews=previews, stage="")
            case PictureSaved():
                path = Path(event.path)
                picture = read_picture(path) or Picture(
                    path=path,
                    recipe=Recipe(prompt=self.request.prompt, seed=event.seed,
                                  run=self.request.run.name),
                )  # fmt: skip
                return dataclasses.replace(self, saved={**self.saved, event.index: picture})
            case GenerationEnded():
                return dataclasses.replace(self, ended=event)
            case _:
                return self

    def tiles(self) -> list[Tile]:
        """Finished pictures and places for the others."""
        tiles: list[Tile] = []
        for index in range(self.request.count):
            picture = self.saved.get(index)
            if picture is not None:
                tiles.append(Tile(picture))
            elif self.ended is None:
                step = self.done.get(index, 0)
                words = f"step {step} of {self.steps}" if step else "waits"
                tiles.append(Tile(None, words, self.previews.get(index)))
        return tiles


class DrawingScreen(BasScreen):
    """Owns the generation process; subclasses show what it does."""

    class Drawn(Message):
        """Something happened to a request."""

        def __init__(self, request: str, event: Event) -> None:
            super().__init__()
            self.request = request
            self.event = event

    class CouldNotDraw(Message):
        """A request could not be handed in."""

        def __init__(self, error: BasError) -> None:
            super().__init__()
            self.error = error

    def __init__(self) -> None:
        super().__init__()
        self._generator: Generator | None = None

    def draw(self, request: GenerationRequest) -> None:
        """Hand a request in; `Drawn` messages tell how it goes."""
        self.run_worker(lambda: self._draw(request), thread=True, group="draw", exit_on_error=False)

    def _draw(self, request: GenerationRequest) -> None:
        worker = get_current_worker()
        try:
            if self._generator is None:
                self._generator = Generator()
            for event in self._generator.submit(request):
                if worker.is_cancelled:
                    return
                self.post_message(self.Drawn(request.request, event))
        except BasError as error:
            self.post_message(self.CouldNotDraw(error))
        except Exception as error:  # The screen must not stay "drawing" for ever.
            wrapped = BasError(f"the drawing failed: {error}", "try again")
            self.post_message(self.CouldNotDraw(wrapped))

    def cancel_drawing(self, request: GenerationRequest) -> None:
        """Ask for the end of a request."""
        generator = self._generator
        if generator is not None:
            threading.Thread(target=generator.cancel, args=(request.request,), daemon=True).start()

    def on_unmount(self) -> None:
        """The process ends with the application; closing it may take seconds, so nobody waits."""
        if self._generator is not None:
            threading.Thread(target=self._generator.close, daemon=True).start()
