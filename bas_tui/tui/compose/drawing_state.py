"""One request to the generation process as its events tell it; pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from bas_tui.client import GenerationRequest
from bas_tui.tui.compose.gallery import Tile
from bas_tui.tui.shell.picture_files import Picture, Recipe, read_picture
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
