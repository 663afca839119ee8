"""A resident process that finds masks: `python -m engine segment`, one picture kept read."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bas_tui.client.resident import Resident
from engine.core.errors import BasError, UserError
from engine.scenes.mask_ops import Picture
from engine.scenes.pixel_box import Box
from engine.segments.contract import Cancelled, Candidate, Click
from engine.segments.wire import Ask, Looking, MasksFound, Question

Tell = Callable[[Looking], None]


class Finder:
    """A segmenter in a process of its own, for one picture at a time.

    Any thread may ask or cancel; `ask` waits for its answer.
    """

    def __init__(self, segmenter: str = "embedded", words_by: str = "") -> None:
        """`segmenter` and `words_by`: a name, a folder or a hub id, as the command line has it."""
        self._segmenter, self._words_by = segmenter, words_by
        self.host = Resident("segment", "segmenter", MasksFound)
        self._folder = Path(tempfile.mkdtemp(prefix="bas-segment-"))
        self._numbers = itertools.count(1)
        self._saved: tuple[Picture, Path] | None = None
        """The last picture that was asked about, and its file."""
        self._lock = threading.Lock()

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        ask: Ask,
        image: Picture,
        *,
        clicks: Sequence[Click] = (),
        box: Box | None = None,
        words: str = "",
        tell: Tell = lambda _: None,
    ) -> list[Candidate]:
        """Wait for an answer about a picture, uint8 (H, W, 3): candidates, best first.

        The same array is read once. Raises UserError as `ReadPicture` does, Cancelled, BasError.
        """
        question = Question(
            request=f"q{next(self._numbers)}", picture=self._file_of(image),
            segmenter=self._segmenter, words_by=self._words_by, ask=ask,
            clicks=tuple(clicks), box=box, words=words,
        )  # fmt: skip
        for event in self.host.submit(question):
            if isinstance(event, Looking):
                tell(event)
            elif isinstance(event, MasksFound):
                return _answer(event)
        raise BasError("the segmenter gave no answer", f"see {self.host.log}")

    def cancel(self) -> None:
        """Ask for the end of everything that is being looked for."""
        self.host.cancel()

    def _file_of(self, image: Picture) -> Path:
        with self._lock:
            if self._saved is None or self._saved[0] is not image:
                path = self._folder / f"{next(self._numbers)}.npy"
                np.save(path, image[:, :, :3], allow_pickle=False)
                # The one before may still be asked about; older ones are not.
                keep = {path, *(() if self._saved is None else (self._saved[1],))}
                self._saved = image, path
                for old in set(self._folder.iterdir()) - keep:
                    old.unlink(missing_ok=True)
            return self._saved[1]

    def close(self) -> None:
        """End the process."""
        self.host.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _answer(event: MasksFound) -> list[Candidate]:
    if event.outcome == "cancelled":
        raise Cancelled
    if event.outcome == "failed":
        raise UserError(event.message, event.remedy)
    return event.candidates()
