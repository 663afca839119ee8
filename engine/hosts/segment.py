"""The segmenter host: questions as JSON lines in, events as JSON lines out.

It keeps the last segmenter and the picture that it has read, so that a second click is quick. torch
is loaded only for a segmenter that is a model. It ends when its input ends.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from engine.core.errors import BasError, UserError
from engine.hosts.event_lines import EventLines
from engine.hosts.request_lines import RequestLines
from engine.runs.events import Event, Progress
from engine.segments.choose import segmenter_of
from engine.segments.contract import Cancelled, Candidate, ReadPicture, Segmenter
from engine.segments.wire import Looking, MasksFound, Question, found

STAGES = {"download": "fetching", "load": "loading"}


def serve_segmenter(requests: TextIO, events: TextIO) -> int:
    """Answer questions until end of file; returns the exit code."""
    _SegmenterHost(requests, events).serve()
    return 0


class _Loaded(NamedTuple):
    key: tuple[str, str]
    segmenter: Segmenter


class _Read(NamedTuple):
    key: tuple[Path, int]
    """The picture's file and when it was written."""
    picture: ReadPicture


class _SegmenterHost:
    def __init__(self, requests: TextIO, events: TextIO) -> None:
        self._requests = RequestLines(requests, self._rest)
        self._emit = EventLines(events)
        self._loaded: _Loaded | None = None
        self._read: _Read | None = None

    def serve(self) -> None:
        for record in self._requests:
            self._answer(record)

    def _answer(self, record: dict[str, Any]) -> None:
        name = str(record.get("request", ""))
        try:
            question = Question.parse({"request": name, **record})
            self._check(name)
            candidates = self._ask(question)
            self._check(name)
            self._emit(found(name, candidates))
        except Cancelled:
            self._emit(MasksFound(request=name, outcome="cancelled", message="cancelled"))
        except BasError as error:
            self._failed(name, error.message, error.remedy)
        except Exception as error:  # One bad picture must not end the questions that wait.
            traceback.print_exc(file=sys.stderr)
            first = (str(error).splitlines() or [type(error).__name__])[0]
            self._failed(name, f"nothing could be found: {first}", "try --segmenter embedded")
        finally:
            self._requests.cancelled.discard(name)

    def _failed(self, request: str, message: str, remedy: str) -> None:
        self._emit(MasksFound(request=request, outcome="failed", message=message, remedy=remedy))

    def _check(self, request: str) -> None:
        if request in self._requests.cancelled:
            raise Cancelled

    def _ask(self, question: Question) -> list[Candidate]:
        def report(done: int, total: int) -> None:
            self._check(question.request)
            told = Looking(
                request=question.request, what="looking everywhere", done=done, total=total
            )
            self._emit(told)

        picture = self._picture(question)
        match question.ask:
            case "read":
                return []
            case "at":
                return picture.at(question.clicks, question.box)
            case "everything":
                return picture.everything(report)
            case "named":
                what = f"looking for {question.words}"
                self._emit(Looking(request=question.request, what=what))
                return picture.named(question.words)

    def _picture(self, question: Question) -> ReadPicture:
        segmenter = self._segmenter(question)
        try:
            key = question.picture, question.picture.stat().st_mtime_ns
            if self._read is not None and self._read.key == key:
                return self._read.picture
            self._read = None
            image = np.load(question.picture, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {question.picture}: {error}", "try again") from error
        self._emit(Looking(request=question.request, what="reading the photo"))
        self._read = _Read(key, segmenter.read(image))
        return self._read.picture

    def _rest(self) -> None:
        """Hold no model: never two at a time, and a training on the same card wants the memory."""
        self._loaded = self._read = None
        if "torch" in sys.modules:
            from engine.families.devices import free_memory_of_the_dead

            free_memory_of_the_dead()

    def _segmenter(self, question: Question) -> Segmenter:
        key = question.segmenter, question.words_by
        if self._loaded is not None and self._loaded.key == key:
            return self._loaded.segmenter

        def report(event: Event) -> None:
            self._check(question.request)
            if not isinstance(event, Progress):
                return
            what = f"{STAGES.get(event.stage, event.stage)} {event.label}"
            done = {"done": event.done, "total": event.total}
            self._emit(Looking(request=question.request, what=what, **done))

        self._rest()
        self._loaded = _Loaded(key, segmenter_of(*key, report=report))
        return self._loaded.segmenter
