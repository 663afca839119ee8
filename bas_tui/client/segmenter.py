"""A resident process that finds masks: `python -m engine segment`, one picture kept read."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bas_tui.client.resident import Resident
from engine.core.errors import BasError, UserError
from engine.scenes.mask_ops import Picture
from engine.scenes.pixel_box import Box
from engine.segments.contract import Cancelled, Candidate, Click
from engine.segments.wire import Ask, Looking, MasksFound, Question

Tell = Callable[[Looking], None]


class Found(NamedTuple):
    """An answer."""

    candidates: list[Candidate]
    """Best first."""
    reads_words: bool
    """Whether the segmenter can be asked by words."""


class Finder:
    """A segmenter in a process of its own, for one picture at a time.

    Any thread may ask or cancel; `ask` waits for its answer.
    """

    def __init__(self, segmenter: str = "embedded", words_by: str = "") -> None:
        """`segmenter` and `words_by`: a name, a folder or a hub id, as the command line has it."""
        self._segmenter, self._words_by = segmenter, words_by
        self.host = Resident("segment", "segmenter", MasksFound)
        self._folder = Path(tempfile.mkdtemp(prefix="bas-segment-"))
        self._picture: Path | None = None
        self._numbers = itertools.count(1)
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, image: Picture) -> None:
        """The picture that questions are about from now on: uint8 (H, W, 3)."""
        path = self._folder / f"{next(self._numbers)}.npy"
        np.save(path, image[:, :, :3], allow_pickle=False)
        earlier, self._picture = self._picture, path
        if earlier is not None:
            earlier.unlink(missing_ok=True)

    def ask(
        self,
        ask: Ask,
        *,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        words: str = "",
        tell: Tell = lambda _: None,
    ) -> Found:
        """Wait for an answer. Raises UserError as `ReadPicture` does, Cancelled, and BasError."""
        assert self._picture is not None, "a picture is shown first"
        question = Question(
            request=f"q{next(self._numbers)}", picture=self._picture, segmenter=self._segmenter,
            words_by=self._words_by, ask=ask, clicks=tuple(clicks), box=box, words=words,
        )  # fmt: skip
        with self._lock:
            self._asked.add(question.request)
        try:
            for event in self.host.submit(question):
                if isinstance(event, Looking):
                    tell(event)
                elif isinstance(event, MasksFound):
                    return _answer(event)
        finally:
            with self._lock:
                self._asked.discard(question.request)
        raise BasError("the segmenter gave no answer", f"see {self.host.log}")

    def cancel(self) -> None:
        """Ask for the end of everything that is being looked for."""
        with self._lock:
            asked = list(self._asked)
        for request in asked:
            self.host.cancel(request)

    def close(self) -> None:
        """End the process."""
        self.host.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _answer(event: MasksFound) -> Found:
    if event.outcome == "cancelled":
        raise Cancelled
    if event.outcome == "failed":
        raise UserError(event.message, event.remedy)
    return Found(event.candidates(), event.reads_words)
