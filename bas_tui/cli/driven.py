"""A batch or an evaluation looked at until its driver is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from bas_tui.cli import stderr

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_SECONDS = 1.0


class Driven(Protocol):
    """A moment of what a driver works at."""

    @property
    def driven(self) -> bool:
        """Whether the driver lives."""
        ...


State = TypeVar("State", bound=Driven)


def follow(
    look: Callable[[], State],
    block: Callable[[State], RenderableType],
    news: Callable[[State], Iterable[str]],
) -> None:
    """Show what `look` sees: as a live block on a terminal, by lines of what is new elsewhere."""
    if not stderr.is_live():
        for now in _until_gone(look):
            for line in news(now):
                stderr.say(line)
        return
    from rich.live import Live

    with Live(console=stderr.console(), refresh_per_second=2, transient=True) as live:
        for now in _until_gone(look):
            live.update(block(now))


def bar(share: float, width: int) -> str:
    """So much of a line of characters, 0..1."""
    full = round(share * width)
    return f"{'━' * full}{'╌' * (width - full)}"


def _until_gone(look: Callable[[], State]) -> Iterator[State]:
    while True:
        now = look()
        yield now
        if not now.driven:
            return
        time.sleep(POLL_SECONDS)
