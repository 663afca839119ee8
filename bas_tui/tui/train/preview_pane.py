"""The newest preview picture, or the one of the step under inspection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from textual.binding import BindingType
from textual.message import Message
from textual.worker import get_current_worker

from bas_tui.run_state import RunState, by_names
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.halfblock import Pixels, load_picture, photo_cells
from bas_tui.tui.drawing.tile_layout import side_by_side
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.train.keys import KEYS
from bas_tui.tui.train.pane import Pane
from engine.runs.events import ConceptInfo, PreviewSaved

CAPTION_ROWS = 3
"""A pane of so many rows has no room for a caption."""


def preview_at(state: RunState, step: int | None) -> PreviewSaved | None:
    """The newest preview at or before `step`."""
    previews = state.previews
    index = len(previews)
    if step is not None:
        index = bisect_right(previews, step, key=lambda preview: preview.step)
    return previews[index - 1] if index else None


def captions(prompt: str, concepts: Sequence[ConceptInfo], width: int) -> list[str]:
    """What to write below each tile of `width` cells, by the names of the things.

    Words that all prompts begin with are left out where they do not fit.
    """
    texts = by_names(prompt, concepts).split(" | ")
    if max(map(len, texts)) > width:
        first = texts[0]
        shared = first[: first.find("<")] if "<" in first else ""
        if shared and all(text.startswith(shared) for text in texts):
            texts = [text[len(shared) :] for text in texts]
    return [text if len(text) <= width else text[: max(0, width - 1)] + "…" for text in texts]


class PreviewPane(Pane):
    """A picture the run drew with its tokens."""

    SCOPE = "preview"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "preview"))
    HELP_TEXT = (
        "The newest pictures drawn with the tokens while they are learned: each thing alone, then "
        "all together, always from the same seeds. left and right show earlier ones."
    )

    class Loaded(Message):
        """A picture was read; `pixels` None: it could not be."""

        def __init__(self, path: Path, pixels: Pixels | None) -> None:
            super().__init__()
            self.path = path
            self.pixels = pixels

    def __init__(self) -> None:
        super().__init__("Preview", id="preview")
        self.folder = Path()
        """The run folder that preview paths are relative to."""
        self.planned = 0
        """Steps between previews by the run's settings."""
        self._wanted: Path | None = None
        self._prompt = ""
        self._picture: Pixels | None = None
        self._shown: dict[int, Pixels] = {}
        """By tile: with few colours, pixels that hardly moved stay."""

    @property
    def every(self) -> int:
        """Steps between previews: as the run's host has said last, else by its settings."""
        said = self.state.preview_every
        return self.planned if said is None else said

    def paint_pane(self) -> None:
        """Ask for the picture if it is another one, and paint what is there."""
        preview = preview_at(self.state, self.at)
        path = self.folder / preview.path if preview is not None else None
        if path != self._wanted:
            self._wanted = path
            if path is None:
                self._picture = None
            else:
                self.run_worker(lambda: self._load(path), thread=True, exclusive=True)
        title = f"Preview {preview.step}" if preview else "Preview"
        if self.size.width >= 26:
            title += f" · every {self.every}" if self.every else " · on request"
        self.set_title(title)
        self._prompt = preview.prompt if preview is not None else ""
        self._paint_picture()

    def _load(self, path: Path) -> None:
        pixels = load_picture(path)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Loaded(path, pixels))

    def on_preview_pane_loaded(self, event: Loaded) -> None:
        """Paint a picture that was read, unless another one is wanted by now."""
        event.stop()
        if event.path == self._wanted:
            self._picture = event.pixels
            self._paint_picture()

    def _paint_picture(self) -> None:
        columns, rows = self.size
        if self._picture is None:
            cells = Cells.blank(rows, columns)
            missing = "is missing" if self._wanted is not None else self._none_yet()
            cells.write(0, 0, missing[:columns], self.ink("faint"))
            self.paint(cells)
            return
        count = self._prompt.count(" | ") + 1
        tiles = np.array_split(self._picture, count, axis=1)
        caption = int(rows > CAPTION_ROWS)
        places = side_by_side(count, columns, rows, caption)
        cells = Cells.blank(rows, columns)
        texts = captions(self._prompt, self.state.concepts, places[0].width)
        for number, (pixels, place, text) in enumerate(zip(tiles, places, texts, strict=True)):
            photo = photo_cells(
                pixels, place.width, place.height - caption, self.terminal, self._shown.get(number)
            )
            self._shown[number] = photo.pixels
            part = photo.cells
            cells.paste(place.row, place.column, part)
            if caption:
                row = place.row + part.chars.shape[0]
                cells.write(row, place.column, text, self.ink("faint"))
        self.paint(cells)

    def action_full(self) -> None:
        """The pictures and nothing else."""
        if self._picture is not None:
            self.app.push_screen(FullPicture(self._picture))

    def _none_yet(self) -> str:
        return "none was drawn" if self.state.over else "none yet (v draws one)"
