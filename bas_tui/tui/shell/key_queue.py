"""One key at a time: the next is handled when all that the one before brought about has happened.

Textual hands keys to widgets, whose actions run some messages later. A key typed right behind one
that opens a dialog would reach the screen below it, or a dialog that has no focus yet; a drag right
behind one that takes a tool would be made with the tool before. So the mouse waits for keys, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen

LOOK_SECONDS = 0.02
"""How often a dialog that opens is looked at while keys wait for it."""
PATIENCE_SECONDS = 0.5
"""How long one key may hold up the others: a widget may go away with it."""


def opening(screen: Screen[Any]) -> bool:
    """Whether a dialog is not ready for keys yet: not mounted, or without the focus it takes."""
    if not isinstance(screen, ModalScreen):
        return False
    if not screen.is_mounted:
        return True
    return screen.focused is None and screen.is_current and bool(screen.focus_chain)


Input = events.Key | events.MouseEvent


class KeyQueue:
    """Keys and the mouse of an application in the order in which they were used."""

    def __init__(self, app: App[Any], handle: Callable[[Input], Awaitable[None]]) -> None:
        self._app = app
        self._handle = handle
        """What Textual does with it."""
        self._waiting: deque[Input] = deque()
        self._under_way = 0
        """Number of the key that is being handled; 0: none."""
        self._count = 0

    async def take(self, event: Input) -> None:
        """Handle it, or keep it until what came before is handled and a dialog is open."""
        key = isinstance(event, events.Key)
        if self._under_way or self._waiting or (key and opening(self._app.screen)):
            self._waiting.append(event)
            if len(self._waiting) == 1 and not self._under_way:
                self._app.call_later(self._next)
        else:
            await self._do(event)

    async def _do(self, event: Input) -> None:
        if not isinstance(event, events.Key):
            await self._handle(event)
            return
        self._count += 1
        number = self._under_way = self._count
        target = self._app.focused or self._app.screen
        await self._handle(event)
        # A message that goes the key's way, behind it and all that it bubbles to.
        self._follow(number, target)
        self._app.set_timer(PATIENCE_SECONDS, lambda: self._done(number))

    def _follow(self, number: int, node: MessagePump | None) -> None:
        if node is None or node is self._app:
            self._app.call_later(self._done, number)
        elif not node.call_later(self._follow, number, node._parent):
            self._done(number)

    def _done(self, number: int) -> None:
        if self._under_way == number:
            self._under_way = 0
            if self._waiting:
                self._app.call_later(self._next)

    async def _next(self) -> None:
        if self._under_way or not self._waiting:
            return
        if opening(self._app.screen):
            self._app.set_timer(LOOK_SECONDS, self._next)
        else:
            await self._do(self._waiting.popleft())
            if self._waiting and not self._under_way:
                self._app.call_later(self._next)
