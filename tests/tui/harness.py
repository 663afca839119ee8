"""The application on a driver that keeps what would be written to a terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.driver import Driver
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.shell.terminal_driver import thrifty

WRITTEN: list[str] = []


class RecordingDriver(HeadlessDriver):
    """Renders as for a terminal, into a list."""

    @property
    def is_headless(self) -> bool:
        """Textual skips rendering for headless drivers."""
        return False

    def write(self, data: str) -> None:
        """Keep it."""
        WRITTEN.append(data)


class RecordedApp(BasApp):
    """BasApp on the recording driver."""

    def get_driver_class(self) -> type[Driver]:
        """The recording driver, as thrifty as the real one is."""
        return thrifty(RecordingDriver, self.meter, self.shown)


async def record(
    start: Start,
    terminal: Terminal,
    size: tuple[int, int],
    act: Callable[[Pilot[Any]], Awaitable[None]],
) -> str:
    """Run the application, let `act` use it, and return everything that was written."""
    WRITTEN.clear()
    app = RecordedApp(start, terminal=terminal)

    async def autopilot(pilot: Pilot[Any]) -> None:
        await act(pilot)
        pilot.app.exit()

    await app.run_async(headless=False, size=size, auto_pilot=autopilot)
    return "".join(WRITTEN)
