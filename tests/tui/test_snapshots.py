"""Whole screens as text, to be read by people when they change.

`BAS_SNAPSHOTS=write python -m pytest tests/tui/test_snapshots.py` writes them anew; `git diff
tests/tui/snapshots` then shows what became of each screen.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from bas_tui.tui.app import BasApp
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.shell.keybar import KeyBar
from tests.tui.pilots import (
    PATIENCE,
    app_of,
    make_app,
    runs_screen,
    screen_text,
    train_screen,
    until,
)
from tests.tui.synthetic import make_run

FOLDER = Path(__file__).parent / "snapshots"


def check(name: str, text: str) -> None:
    """Compare a screen with the stored one."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("BAS_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()


async def expect(pilot: Pilot[Any], name: str) -> None:
    """Compare the screen with the stored one; it gets a moment to become so."""
    app, path = app_of(pilot), FOLDER / f"{name}.txt"
    if os.environ.get("BAS_SNAPSHOTS") == "write":
        await asyncio.sleep(1)
        await pilot.pause()
    else:
        wanted = path.read_text(encoding="utf-8").splitlines()
        end = time.monotonic() + PATIENCE
        while screen_text(app).splitlines() != wanted and time.monotonic() < end:
            await asyncio.sleep(0.05)
            await pilot.pause()
    check(name, screen_text(app))


def below_preview_title(app: BasApp) -> str:
    """The first line of the preview pane."""
    lines = screen_text(app).splitlines()
    title = next(number for number, line in enumerate(lines) if "Preview " in line)
    return lines[title + 1]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what differs between two runs: the byte rate, and how long ago a run was made."""
    monkeypatch.setattr(KeyBar, "show_rate", lambda _self, _text: None)
    monkeypatch.setattr("bas_tui.tui.runs.run_list.say_age", lambda _created: "5 min")
    monkeypatch.setattr("bas_tui.tui.runs.run_facts.say_age", lambda _created: "5 min")
    monkeypatch.setattr("bas_tui.tui.runs.run_facts.short_path", lambda path: f"~/{path.name}")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_train(size: tuple[int, int]) -> None:
    make_run("desk", steps=(60, 60), preview_every=50)
    app = make_app("train", run="desk")
    async with app.run_test(size=size) as pilot:
        await train_screen(pilot, 120)
        await pilot.press("2", "H")
        await until(pilot, lambda: "▀" in below_preview_title(app), "the preview")
        await expect(pilot, f"train-{size[0]}x{size[1]}")


async def test_train_ascii() -> None:
    make_run("desk", steps=(60, 60), preview_every=50)
    app = make_app("train", run="desk", terminal=Terminal(ascii=True, colors=0))
    async with app.run_test(size=(80, 24)) as pilot:
        await train_screen(pilot, 120)
        await until(pilot, lambda: "**" in below_preview_title(app), "the preview")
        await expect(pilot, "train-ascii-80x24")


async def test_failure() -> None:
    run = make_run(
        "desk", steps=(60, 60), until=31, nan_at=31, outcome="failed",
        message="the loss is not a number", remedy="lower the learning rate",
    )  # fmt: skip
    run.log.write_text("Traceback: none, this is a test\n")
    app = make_app("train", run="desk")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "host.log" in screen_text(app), "the failure")
        await expect(pilot, "failure-80x24")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_runs(size: tuple[int, int]) -> None:
    make_run("desk", steps=(60, 60))
    make_run("shelf-with-a-long-name", steps=(60, 60), concepts=4, until=70, outcome="stopped")
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await runs_screen(pilot, 2)
        await until(pilot, lambda: "▀" in screen_text(app), "the thumbnail")
        await expect(pilot, f"runs-{size[0]}x{size[1]}")


async def test_help() -> None:
    make_run("desk", steps=(60, 60))
    app = make_app("train", run="desk")
    async with app.run_test(size=(100, 40)) as pilot:
        await train_screen(pilot, 120)
        await pilot.press("f1")
        await until(pilot, lambda: "Zoom" in screen_text(app), "the help")
        await expect(pilot, "help-100x40")
