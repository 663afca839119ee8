"""Several runs as one view compares them: their curves, and their pictures of the same words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bas_tui.run_state import RunState, by_names, reduce_all
from bas_tui.tui.drawing.chart import smooth
from bas_tui.tui.drawing.halfblock import Pixels, load_picture
from bas_tui.tui.shell.picture_files import list_pictures
from engine.runs.event_reading import read_events
from engine.runs.events import ConceptInfo
from engine.runs.folder import RunDir

Floats = NDArray[np.float64]


class Subject(NamedTuple):
    """What a picture is of: a prompt by the names of the things, and a seed."""

    prompt: str
    seed: int | None
    preview: bool = False
    """Drawn by the training, at its end (or its newest)."""

    @property
    def text(self) -> str:
        """In a few words."""
        if self.preview:
            return f"{self.prompt}  (last preview)"
        return f"{self.prompt}  (seed {self.seed})"


class Source(NamedTuple):
    """Where a picture is: a file, or one of the `tiles` pictures side by side in it."""

    path: Path
    tile: int = 0
    tiles: int = 1

    def load(self) -> Pixels | None:
        """The pixels; None where they cannot be read."""
        whole = load_picture(self.path)
        if whole is None or self.tiles == 1:
            return whole
        return np.array_split(whole, self.tiles, axis=1)[self.tile]


class OverlaidRun(NamedTuple):
    """One of the runs."""

    run: RunDir
    state: RunState
    pictures: dict[Subject, Source]

    @property
    def loss(self) -> tuple[Floats, Floats]:
        """Steps and the moving average of the loss."""
        history = self.state.history
        return np.array(history.column("step")), np.array(history.column("ema_loss"))

    @property
    def iou(self) -> tuple[Floats, Floats]:
        """Steps and the IoU of the maps with their masks, over all tokens, smoothed."""
        at: dict[int, list[float]] = {}
        for frames in self.state.attention.values():
            for frame in frames:
                if math.isfinite(frame.iou):
                    at.setdefault(frame.step, []).append(frame.iou)
        steps = sorted(at)
        values = [sum(at[step]) / len(at[step]) for step in steps]
        return np.array(steps, dtype=np.float64), smooth(values)


def read_overlaid(run: RunDir) -> OverlaidRun:
    """Read a run's events and what it drew; call it off the event loop."""
    state = reduce_all(read_events(run))
    pictures: dict[Subject, Source] = {}
    if len(state.previews):
        last = state.previews[-1]
        prompts = last.prompt.split(" | ")
        for tile, prompt in enumerate(prompts):
            subject = Subject(_words(prompt, state.concepts), last.seed, preview=True)
            pictures[subject] = Source(run.path / last.path, tile, len(prompts))
    for picture in list_pictures(run):
        recipe = picture.recipe
        if not recipe.photo:  # An edit is of one photo only.
            subject = Subject(_words(recipe.prompt, state.concepts), recipe.seed)
            pictures.setdefault(subject, Source(picture.path))
    return OverlaidRun(run, state, pictures)


def _words(prompt: str, concepts: Sequence[ConceptInfo]) -> str:
    """A prompt as it reads in every run whose things are called the same."""
    return " ".join(by_names(prompt, concepts).split())


def subjects(runs: Sequence[OverlaidRun]) -> list[Subject]:
    """What the runs have pictures of: first what most have; previews of all things lead."""
    counts: dict[Subject, int] = {}
    for one in runs:
        for subject in one.pictures:
            counts[subject] = counts.get(subject, 0) + 1
    return sorted(
        counts,
        key=lambda subject: (-counts[subject], not subject.preview, -subject.prompt.count("<")),
    )
