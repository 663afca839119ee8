"""Marked runs over each other: their losses and IoU in one chart, their pictures side by side."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.worker import get_current_worker

from bas_tui.tui.drawing.axis import UNIT_AXIS
from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.drawing.chart import MARGIN, ChartView, Curve, draw_chart
from bas_tui.tui.drawing.halfblock import Pixels, photo_cells
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.drawing.tile_layout import side_by_side
from bas_tui.tui.runs.keys import KEYS
from bas_tui.tui.runs.overlaid_run import OverlaidRun, Subject, read_overlaid, subjects
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.full_picture import FullPicture
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid

Floats = NDArray[np.float64]
BETWEEN = 8
"""Pixels between two pictures on the whole terminal."""


class Overlay(Container):
    """Reads runs in a thread and shows them; `show` gives it the runs in the order of marking."""

    class Read(Message):
        """The runs were read."""

        def __init__(self, runs: list[OverlaidRun]) -> None:
            super().__init__()
            self.runs = runs

    class Closed(Message):
        """The person wants the list again."""

    class Copied(Message):
        """Something for the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(id="overlay")
        self._wanted: list[RunDir] = []
        self.runs: list[OverlaidRun] = []

    def compose(self) -> ComposeResult:
        """Two charts over the pictures."""
        with Horizontal(id="overlay-charts"):
            yield OverlayChart("loss", "Loss", lambda one: one.loss)
            yield OverlayChart("iou", "IoU with the masks", lambda one: one.iou)
        yield SameWords()

    def show(self, runs: Sequence[RunDir]) -> None:
        """Show these runs, as they are now."""
        self._wanted = list(runs)
        self.run_worker(self._read, thread=True, exclusive=True, group="overlay")

    def again(self) -> None:
        """Read the runs again where one may have changed."""
        if any(not one.state.over and host_pid(one.run) is not None for one in self.runs):
            self.show(self._wanted)

    def _read(self) -> None:
        read = [read_overlaid(run) for run in self._wanted]
        if not get_current_worker().is_cancelled:
            self.post_message(self.Read(read))

    def on_overlay_read(self, event: Read) -> None:
        """Draw the runs; those that are no longer wanted are not."""
        event.stop()
        if [one.run for one in event.runs] != self._wanted:
            return
        self.runs = event.runs
        self.draw()

    def draw(self) -> None:
        """Draw everything again."""
        for chart in self.query(OverlayChart):
            chart.show(self.runs)
        self.query_one(SameWords).show(self.runs)


class OverlayChart(CellCanvas):
    """One number of every run over the steps."""

    def __init__(
        self, name: str, title: str, values: Callable[[OverlaidRun], tuple[Floats, Floats]]
    ) -> None:
        super().__init__(id=f"overlay-{name}", classes="pane")
        self.border_title = title
        self._values = values
        self._runs: Sequence[OverlaidRun] = ()
        self.log_axis = False

    def show(self, runs: Sequence[OverlaidRun]) -> None:
        """Show other runs, or the same with newer numbers."""
        self._runs = runs
        self.draw()

    def draw(self) -> None:
        """Names with their last values over the curves."""
        columns, rows = self.size
        if not self.is_mounted or not columns or not rows:
            return
        cells = Cells.blank(rows, columns)
        curves: list[Curve] = []
        last = 2.0
        column, row = 0, 0
        for index, one in enumerate(self._runs):
            steps, values = self._values(one)
            ink = self.concept_ink(index)
            if len(steps):
                curves.append(Curve(steps=steps, raw=values, average=values, color=ink,
                                    dim_color=ink))  # fmt: skip
                last = max(last, float(steps[-1]))
            known = values[np.isfinite(values)]
            value = f" {known[-1]:.4g}" if len(known) else " -"
            text = f"{run_mark(index)} {one.run.name}{value}"[:columns]
            if column and column + len(text) > columns:
                column, row = 0, row + 1
            cells.write(row, column, text, ink)
            column += len(text) + 2
        view = ChartView(
            first=1, last=int(last), log=self.log_axis, raw=False,
            axis=None if self.id == "overlay-loss" else UNIT_AXIS,
            ascii=self.terminal.ascii, ink=self.ink("foreground"), faint=self.ink("faint"),
            accent=self.ink("accent"),
        )  # fmt: skip
        if curves:
            # The first marked run lies on top.
            chart = draw_chart(curves[::-1], view, rows - row - 1, columns)
            cells.paste(row + 1, 0, chart)
        elif self._runs:
            cells.write(row + 1, MARGIN, "appears with the first step", self.ink("faint"))
        self.paint(cells)

    def on_resize(self) -> None:
        """Other room."""
        self.draw()


class SameWords(CellCanvas, can_focus=True):
    """The pictures of one prompt and seed, a run beside the other."""

    SCOPE = "overlay"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "overlay"))
    HELP_TEXT = (
        "The marked runs over each other. Above their losses (moving averages) and how well their "
        "tokens' attention covers the masks; below their pictures of the same prompt and seed. "
        "left and right change the prompt, those that most runs have drawn come first."
    )

    class Loaded(Message):
        """The pictures of a subject were read."""

        def __init__(self, subject: Subject, pixels: list[Pixels | None]) -> None:
            super().__init__()
            self.subject, self.pixels = subject, pixels

    def __init__(self) -> None:
        super().__init__(id="same-words", classes="pane")
        self.border_title = "Pictures"
        self._runs: Sequence[OverlaidRun] = ()
        self._subjects: list[Subject] = []
        self._subject: Subject | None = None
        self._pixels: list[Pixels | None] = []

    def show(self, runs: Sequence[OverlaidRun]) -> None:
        """Show other runs; the prompt stays where they have it."""
        self._runs, self._subjects = runs, subjects(runs)
        if self._subject not in self._subjects:
            self._subject = self._subjects[0] if self._subjects else None
        self._load()

    def _load(self) -> None:
        self.draw()
        subject, runs = self._subject, self._runs
        if subject is None:
            return

        def work() -> None:
            sources = [one.pictures.get(subject) for one in runs]
            pixels = [source.load() if source is not None else None for source in sources]
            if not get_current_worker().is_cancelled:
                self.post_message(self.Loaded(subject, pixels))

        self.run_worker(work, thread=True, exclusive=True, group="same-words")

    def on_same_words_loaded(self, event: Loaded) -> None:
        """Draw what was read, unless another prompt is wanted by now."""
        event.stop()
        if event.subject == self._subject:
            self._pixels = event.pixels
            self.draw()

    def on_resize(self) -> None:
        """Other room."""
        self.draw()

    def draw(self) -> None:
        """A tile a run, under the words that all are of."""
        columns, rows = self.size
        if not self.is_mounted or not columns or not rows:
            return
        cells = Cells.blank(rows, columns)
        subject = self._subject
        if subject is None:
            self.set_title("Pictures")
            if self._runs:
                cells.write(0, 0, "these runs have drawn nothing yet", self.ink("faint"))
            self.paint(cells)
            return
        place = f"{self._subjects.index(subject) + 1}/{len(self._subjects)}"
        self.set_title(f"{place}  {subject.text}")
        places = side_by_side(len(self._runs), columns, rows, 1)
        for index, (one, tile) in enumerate(zip(self._runs, places, strict=True)):
            pixels = self._pixels[index] if index < len(self._pixels) else None
            height = tile.height - tile.caption
            if pixels is None:
                missing = subject not in one.pictures
                cells.write(tile.row + height // 2, tile.column,
                            ("not drawn (Y: command)" if missing else "...")[: tile.width],
                            self.ink("faint"))  # fmt: skip
            else:
                photo = photo_cells(pixels, tile.width, height, self.terminal)
                cells.paste(tile.row, tile.column, photo.cells)
                height = photo.cells.chars.shape[0]
            name = f"{run_mark(index)} {one.run.name}"[: tile.width]
            cells.write(tile.row + height, tile.column, name, self.concept_ink(index))
        self.paint(cells)

    def action_other(self, by: int) -> None:
        """Another prompt."""
        if self._subject is not None:
            here = self._subjects.index(self._subject)
            self._subject = self._subjects[(here + by) % len(self._subjects)]
            self._pixels = []
            self._load()

    def action_close(self) -> None:
        """Back to the list."""
        self.post_message(Overlay.Closed())

    def action_toggle_log(self) -> None:
        """A logarithmic or a linear axis for the losses."""
        chart = self.screen.query_one("#overlay-loss", OverlayChart)
        chart.log_axis = not chart.log_axis
        chart.set_title("Loss · log" if chart.log_axis else "Loss")
        chart.draw()

    def action_other_chart(self) -> None:
        """Where one chart is shown only: the other one."""
        self.screen.query_one(Overlay).toggle_class("-iou")

    def action_full(self) -> None:
        """The pictures side by side and nothing else."""
        shown = [pixels for pixels in self._pixels if pixels is not None]
        if shown:
            self.app.push_screen(FullPicture(_beside(shown)))

    def action_copy(self) -> None:
        """The command that draws the prompt with a run that lacks it."""
        subject = self._subject
        if subject is None:
            return
        lacking = [one for one in self._runs if subject not in one.pictures] or list(self._runs)
        seed = f" --seed {subject.seed}" if subject.seed is not None else ""
        commands = [
            f"bas gen {shlex.quote(subject.prompt)} --run {shlex.quote(one.run.name)}{seed} -n 1"
            for one in lacking
        ]
        self.post_message(Overlay.Copied("\n".join(commands)))


def run_mark(index: int) -> str:
    """What stands for a run besides its colour."""
    return concept_color(index).letter


def _beside(pictures: Sequence[Pixels]) -> Pixels:
    from PIL import Image

    height = max(pixels.shape[0] for pixels in pictures)
    parts: list[Pixels] = []
    for pixels in pictures:
        width = round(pixels.shape[1] * height / pixels.shape[0])
        large = Image.fromarray(pixels, "RGB").resize((width, height), Image.Resampling.LANCZOS)
        parts += [np.asarray(large, np.uint8), np.zeros((height, BETWEEN, 3), np.uint8)]
    return np.concatenate(parts[:-1], axis=1)
