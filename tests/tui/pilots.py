"""Small helpers for Pilot tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual._context import visible_screen_stack
from textual.pilot import Pilot
from textual.strip import Strip

from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.runs.screen import RunsScreen
from bas_tui.tui.shell.keybar import KeyBar
from bas_tui.tui.shell.preferences import Prefs
from bas_tui.tui.train.screen import TrainScreen

PATIENCE = 15.0
"""Seconds a busy machine may take to get somewhere; a test waits only as long as it must."""


def make_app(
    screen: str = "runs",
    *,
    terminal: Terminal | None = None,
    prefs: Prefs | None = None,
    **arguments: Any,
) -> BasApp:
    """The application, about to show a screen."""
    return BasApp(Start(screen=screen, arguments=arguments), terminal=terminal, prefs=prefs)


async def until(pilot: Pilot[Any], condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so; fails with `what` when it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await pilot.pause()
        await asyncio.sleep(0.02)
    await pilot.pause()


def app_of(pilot: Pilot[Any]) -> BasApp:
    """The application with its type."""
    assert isinstance(pilot.app, BasApp)
    return pilot.app


def screen_strips(app: BasApp) -> list[Strip]:
    """The lines of the screen, with what shines through a dialog."""
    # As the application sets it before it draws. Without it a dialog that is read before it was
    # drawn once keeps an empty background in its cache, and then draws that too.
    visible_screen_stack.set(app._background_screens)
    return app.screen._compositor.render_strips()


def screen_text(app: BasApp) -> str:
    """The characters on the screen, lines without their trailing blanks."""
    strips = screen_strips(app)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def message_of(app: BasApp) -> str:
    """What the footer says."""
    assert app.bas_screen is not None
    return app.bas_screen.query_one(KeyBar).message


async def train_screen(pilot: Pilot[Any], steps: int) -> TrainScreen:
    """The Train screen, once it shows so many steps."""
    app = app_of(pilot)

    def ready() -> bool:
        screen = app.bas_screen
        return isinstance(screen, TrainScreen) and len(screen.state.history) >= steps

    await until(pilot, ready, f"{steps} steps on the Train screen")
    assert isinstance(app.bas_screen, TrainScreen)
    return app.bas_screen


async def runs_screen(pilot: Pilot[Any], entries: int) -> RunsScreen:
    """The Runs screen, once it lists so many runs."""
    app = app_of(pilot)

    def ready() -> bool:
        screen = app.bas_screen
        return isinstance(screen, RunsScreen) and len(screen.shown) == entries

    await until(pilot, ready, f"{entries} runs on the Runs screen")
    assert isinstance(app.bas_screen, RunsScreen)
    return app.bas_screen
