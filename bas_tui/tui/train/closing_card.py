"""The end of a run as a card: its last pictures, what was learned, and where to go from here."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static
from textual.worker import get_current_worker

from bas_tui.run_health import warnings_of
from bas_tui.run_state import RunState
from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.drawing.halfblock import Pixels, load_picture, photo_cells
from bas_tui.tui.drawing.tile_layout import side_by_side
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.train.lessons import Lesson, lessons, work
from bas_tui.tui.train.preview_pane import captions, preview_at
from bas_tui.tui.train.warning_lines import MOST
from engine.runs.events import PreviewSaved


class Next(NamedTuple):
    """Where one may go from the card."""

    answer: str
    """What the card closes with."""
    keys: str
    label: str


NEXT = (
    Next("compose", "C,c,enter,f5", "Draw with it (C)"),
    Next("edit", "E,e,f6", "Edit a photo (E)"),
    Next("export", "X,x", "Export (X)"),
    Next("", "escape,q,space", "History (esc)"),
)

MEANING = "IoU: how well a token's attention covers its mask (1 is best). Leak: its share outside."


class ClosingCard(ModalScreen[str]):
    """Closes with the answer of a `Next`."""

    # Drawing is what one came for. (A card that is left at once never has buttons to focus.)
    AUTO_FOCUS = "#next-compose"
    BINDINGS: ClassVar[list[BindingType]] = [
        *((step.keys, f"answer('{step.answer}')", step.label) for step in NEXT),
        ("v,f", "full", "Full screen"),
    ]

    def __init__(self, name: str, state: RunState, folder: Path) -> None:
        super().__init__()
        self._name, self._state = name, state
        self._preview = preview_at(state, None)
        self._path = folder / self._preview.path if self._preview is not None else None

    def compose(self) -> ComposeResult:
        """What was learned, the pictures, what it warns of, where to go."""
        state = self._state
        with Vertical(id="closing-card", classes="dialog"):
            count = len(state.concepts)
            things = "1 thing" if count == 1 else f"{count} things"
            title = f"✓ {self._name} has learned {things}"
            yield Static(title, classes="dialog-title", markup=False)
            yield Static(work(state), classes="dialog-detail", markup=False)
            yield FinalPictures(self._preview, lessons(state))
            warned = [f"⚠ {one.message} - {one.remedy}" for one in warnings_of(state)]
            if warned:
                yield Static("\n".join(warned[:MOST]), classes="dialog-detail warned", markup=False)
            yield Static(MEANING, classes="dialog-detail meaning", markup=False)
            with Horizontal(classes="dialog-buttons"):
                for step in NEXT:
                    yield Button(step.label, id=f"next-{step.answer or 'history'}", compact=True)

    def on_mount(self) -> None:
        """Read the pictures off the event loop."""
        if self._path is not None:
            self.run_worker(self._load, thread=True)

    def _load(self) -> None:
        assert self._path is not None
        pixels = load_picture(self._path)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.query_one(FinalPictures).show, pixels)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        answer = (event.button.id or "").removeprefix("next-")
        self.dismiss("" if answer == "history" else answer)

    def action_answer(self, answer: str) -> None:
        """Close with an answer."""
        self.dismiss(answer)

    def action_full(self) -> None:
        """The pictures and nothing else."""
        if self._path is not None:
            self.app.push_screen(FullPicture(self._path))


class FinalPictures(CellCanvas):
    """A picture of each thing and one of all, each over its numbers."""

    def __init__(self, preview: PreviewSaved | None, learned: list[Lesson]) -> None:
        super().__init__(id="final-pictures")
        self._preview, self._learned = preview, learned
        self._pixels: Pixels | None = None
        self._missing = "..." if preview is not None else "no preview was drawn - C draws pictures"

    def show(self, pixels: Pixels | None) -> None:
        """The pictures, side by side in one; None: they could not be read."""
        self._pixels = pixels
        if pixels is None:
            self._missing = "the last preview is missing - C draws pictures"
        self.on_resize()

    def on_resize(self) -> None:
        """Paint into the size of now."""
        columns, rows = self.size
        if not columns or not rows:
            return
        cells = Cells.blank(rows, columns)
        if self._preview is None or self._pixels is None:
            self._write_numbers(cells)
        else:
            self._draw_tiles(cells, self._preview, self._pixels)
        self.paint(cells)

    def _write_numbers(self, cells: Cells) -> None:
        columns = cells.chars.shape[1]
        for row, lesson in enumerate(self._learned):
            text = f"<{lesson.concept.name}>  {lesson.text(columns)}"
            cells.write(row, 0, text, self._ink(lesson))
        cells.write(len(self._learned) + 1, 0, self._missing, self.ink("faint"))

    def _draw_tiles(self, cells: Cells, preview: PreviewSaved, pixels: Pixels) -> None:
        rows, columns = cells.chars.shape
        count = preview.prompt.count(" | ") + 1
        places = side_by_side(count, columns, rows, 2)
        concepts = [lesson.concept for lesson in self._learned]
        texts = captions(preview.prompt, concepts, places[0].width)
        tiles = np.array_split(pixels, count, axis=1)
        top = (rows - max(place.row + place.height for place in places)) // 2
        for index, (tile, place, text) in enumerate(zip(tiles, places, texts, strict=True)):
            photo = photo_cells(tile, place.width, place.height - place.caption, self.terminal)
            cells.paste(top + place.row, place.column, photo.cells)
            row = top + place.row + photo.cells.chars.shape[0]
            cells.write(row, place.column, text, self.ink("foreground"))
            if index < len(self._learned):
                lesson = self._learned[index]
                cells.write(row + 1, place.column, lesson.text(place.width), self._ink(lesson))

    def _ink(self, lesson: Lesson) -> int:
        return self.ink("warning" if lesson.leaks else "faint")
