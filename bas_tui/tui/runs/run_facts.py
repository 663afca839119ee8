"""The marked run in full: its scene with the masks' colours, concepts, state, where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from bas_tui.tui.drawing.halfblock import Photograph, Pixels, load_picture
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.runs.library import Entry
from bas_tui.tui.shell.short_path import short_path
from engine.core.durations import say_age
from engine.runs.folder import RunDir

TINT = 0.45
"""How much of a concept's colour covers the scene under its mask."""


def scene_thumbnail(run: RunDir, names: tuple[str, ...]) -> Pixels | None:
    """The scene with every mask tinted in its concept's colour; None without a picture."""
    picture = load_picture(run.scene / "image.png")
    if picture is None:
        return None
    mixed = picture.astype(np.float64)
    for index, name in enumerate(names):
        mask = load_picture(run.scene / "masks" / f"{name}.png")
        if mask is None or mask.shape != picture.shape:
            continue
        share = TINT * (mask[..., :1] > 127)
        mixed = mixed * (1 - share) + share * np.array(concept_color(index).rgb)
    return mixed.astype(np.uint8)


class RunFacts(Container):
    """Picture and text about one entry."""

    class Loaded(Message):
        """A thumbnail was made."""

        def __init__(self, run: RunDir, pixels: Pixels | None) -> None:
            super().__init__()
            self.run = run
            self.pixels = pixels

    def __init__(self) -> None:
        super().__init__(id="run-facts", classes="pane")
        self.border_title = "Scene"
        self._entry: Entry | None = None
        self._thumbnails: dict[Path, Pixels | None] = {}

    def compose(self) -> ComposeResult:
        """Picture and text."""
        yield Photograph(id="thumbnail")
        yield Static(id="facts")

    def show(self, entry: Entry | None) -> None:
        """Show another entry, or the same with newer numbers."""
        self._entry = entry
        self.query_one("#facts", Static).update(self._text(entry) if entry else "")
        self.border_title = entry.run.name if entry is not None else "Scene"
        self._show_picture()

    @property
    def picture(self) -> Pixels | None:
        """The scene of the entry that is shown; None where there is none, or not yet."""
        return self._thumbnails.get(self._entry.run.path) if self._entry is not None else None

    def _show_picture(self) -> None:
        entry = self._entry
        canvas = self.query_one(Photograph)
        if entry is None or entry.info is None:
            canvas.show(None)
            return
        if entry.run.path in self._thumbnails:
            canvas.show(self._thumbnails[entry.run.path])
            return
        names = tuple(concept.name for concept in entry.info.concepts)
        run = entry.run
        self.run_worker(lambda: self._load(run, names), thread=True, exclusive=True)

    def _load(self, run: RunDir, names: tuple[str, ...]) -> None:
        pixels = scene_thumbnail(run, names)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Loaded(run, pixels))

    def on_run_facts_loaded(self, event: Loaded) -> None:
        """Keep the thumbnail and show it if its run is still marked."""
        event.stop()
        if len(self._thumbnails) > 200:
            self._thumbnails.clear()
        self._thumbnails[event.run.path] = event.pixels
        if self._entry is not None and self._entry.run == event.run:
            self._show_picture()

    def on_resize(self) -> None:
        """Scale the picture to the new size."""
        self.call_after_refresh(self._show_picture)

    def _text(self, entry: Entry) -> Content:
        info = entry.info
        if info is None:
            return Content.assemble(
                Content.styled("damaged\n", "bold $error"), entry.problem, "\n", str(entry.run.path)
            )
        lines = [
            Content.assemble(
                Content.styled("■ ", concept_color(index).hex),
                Content.styled(concept.name, "bold"),
                Content.styled(f"  {concept.token}", "$faint"),
                Content.styled(
                    f"  from “{concept.initializer}”" if concept.initializer else "", "$faint"
                ),
            )
            for index, concept in enumerate(info.concepts)
        ]
        phase = f"phase {info.phase}, " if info.phase and entry.live else ""
        lines += [
            Content(""),
            Content(f"{info.state} · {phase}step {info.step} of {info.total_steps}"),
            Content(f"base {Path(info.base).name} · {say_age(info.created)}"),
        ]
        if info.message:
            lines.append(Content.styled(info.message, "$error"))
        lines.append(Content.styled(short_path(entry.run.path), "$faint"))
        return Content("\n").join(lines)
