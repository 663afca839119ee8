"""The newest preview picture, or the one of the step under inspection."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from textual.message import Message
from textual.worker import get_current_worker

from bas_tui.run_state import RunState
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.halfblock import Pixels, fit, load_picture, picture_cells
from bas_tui.tui.drawing.quantise import steady, to_xterm
from bas_tui.tui.train.pane import Pane
from engine.runs.events import PreviewSaved


def preview_at(state: RunState, step: int | None) -> PreviewSaved | None:
    """The newest preview at or before `step`."""
    previews = state.previews
    index = len(previews)
    if step is not None:
        index = bisect_right(previews, step, key=lambda preview: preview.step)
    return previews[index - 1] if index else None


class PreviewPane(Pane):
    """A picture the run drew with its tokens."""

    HELP_TEXT = (
        "The newest picture drawn with the tokens while they are learned: all concepts in one "
        "prompt. left and right show earlier ones."
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
        self.every = 0
        """Steps between previews, for the title."""
        self._wanted: Path | None = None
        self._picture: Pixels | None = None
        self._shown: Pixels | None = None

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
            missing = "is missing" if self._wanted is not None else "none yet (v draws one)"
            cells.write(0, 0, missing[:columns], self.ink("faint"))
            self.paint(cells)
            return
        pixels = fit(self._picture, columns, rows)
        if self.terminal.quantise:
            pixels = steady(pixels, self._shown)
            self._shown = pixels
            pixels = to_xterm(pixels)
        cells = Cells.blank(rows, columns)
        cells.paste(0, (columns - pixels.shape[1]) // 2, picture_cells(pixels, self.terminal))
        self.paint(cells)
