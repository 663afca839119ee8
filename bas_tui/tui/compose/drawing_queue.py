"""Hands drawings to the generation process, one at a time, and tells what becomes of them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from textual.message import Message

from bas_tui.client import GenerationRequest, Generator
from bas_tui.tui.compose.drawing_state import Drawing
from engine.core.errors import BasError
from engine.runs.events import Event


class DrawingQueue:
    """Owns the generation process and the drawing under way.

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

    def __init__(self, post: Callable[[Message], object]) -> None:
        self.current: Drawing | None = None
        self._post = post
        self._generator: Generator | None = None
        self._closed = threading.Event()

    def start(self, request: GenerationRequest) -> None:
        """Draw; `Drawn` messages tell how it goes. Nothing else may be under way."""
        assert self.current is None
        self.current = Drawing(request=request)
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
        """End the process; it may take seconds, so nobody waits."""
        self._closed.set()
        if self._generator is not None:
            threading.Thread(target=self._generator.close, daemon=True).start()

    def _hand_in(self, request: GenerationRequest) -> None:
        threading.Thread(
            target=self._work, args=(request,), name=f"draw-{request.request}", daemon=True
        ).start()

    def _work(self, request: GenerationRequest) -> None:
        try:
            if self._generator is None:
                self._generator = Generator()
            for event in self._generator.submit(request):
                if self._closed.is_set():
                    return
                self._post(self.Drawn(request.request, event))
        except BasError as error:
            self._post(self.CouldNotDraw(request.request, error))
        except Exception as error:  # Nobody must wait for ever for this drawing.
            wrapped = BasError(f"the drawing failed: {error}", "try again")
            self._post(self.CouldNotDraw(request.request, wrapped))
