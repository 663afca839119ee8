"""Hands a screen's drawings to the generation process, one at a time, and tells what becomes of
them. The process is the application's: screens share its loaded model."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from textual.message import Message

from bas_tui.client import GenerationRequest, Generator
from bas_tui.error_log import unexpected
from bas_tui.tui.compose.drawing_state import Drawing
from engine.core.errors import BasError
from engine.runs.events import Event


class DrawingQueue:
    """Owns the drawing under way.

    Threads wait for the process and post messages; `current` changes only where a message is taken.
    """

    class Drawn(Message):
        """Something happened to a request."""

        def __init__(self, request: str, event: Event) -> None:
            super().__init__()
            self.request = request
            self.event = event

    class CouldNotDraw(Message):
        """A request could not be handed in."""

        def __init__(self, request: str, error: BasError) -> None:
            super().__init__()
            self.request = request
            self.error = error

    def __init__(
        self, post: Callable[[Message], object], generator: Callable[[], Generator]
    ) -> None:
        """`generator` gives the application's, when the first drawing needs it."""
        self.current: Drawing | None = None
        self.last: GenerationRequest | None = None
        """What was asked for last."""
        self._post = post
        self._find_generator = generator
        self._generator: Generator | None = None
        self._closed = threading.Event()

    def start(self, request: GenerationRequest) -> None:
        """Draw; `Drawn` messages tell how it goes. Nothing else may be under way."""
        assert self.current is None
        self.current, self.last = Drawing(request=request), request
        self._hand_in(request)

    def take(self, message: Drawn) -> Drawing | None:
        """The drawing after a message; None where the message is of no drawing under way.

        One that has ended is under way no longer.
        """
        drawing = self.current
        if drawing is None or drawing.request.request != message.request:
            return None
        drawing = drawing.after(message.event)
        self.current = drawing if drawing.ended is None else None
        return drawing

    def give_up(self, message: CouldNotDraw) -> bool:
        """Take a failure; whether it is of the drawing under way."""
        drawing = self.current
        if drawing is None or drawing.request.request != message.request:
            return False
        self.current = None
        return True

    def cancel(self) -> bool:
        """Ask for the end of the drawing under way; whether there is one."""
        if self.current is None:
            return False
        self.current = dataclasses.replace(self.current, cancelling=True)
        generator, request = self._generator, self.current.request.request
        if generator is not None:
            threading.Thread(target=generator.cancel, args=(request,), daemon=True).start()
        return True

    def close(self) -> None:
        """Tell nothing more."""
        self._closed.set()

    def _hand_in(self, request: GenerationRequest) -> None:
        generator = self._generator = self._find_generator()
        threading.Thread(
            target=self._work,
            args=(generator, request),
            name=f"draw-{request.request}",
            daemon=True,
        ).start()

    def _work(self, generator: Generator, request: GenerationRequest) -> None:
        try:
            for event in generator.submit(request):
                if self._closed.is_set():
                    return
                self._post(self.Drawn(request.request, event))
        except BasError as error:
            self._post(self.CouldNotDraw(request.request, error))
        except Exception as error:  # Nobody must wait for ever for this drawing.
            wrapped = unexpected(error, "the drawing failed")
            self._post(self.CouldNotDraw(request.request, wrapped))
