"""Makes the pictures of the application in docs/screens: every screen at three sizes, and a tour.

    python tests/screens.py RUN OTHER      two finished runs of $BAS_HOME, pictures in the first

A script, not a test. The application is the real one on real runs, driven by keys: the training in
the tour is the run's own events, replayed faster, and its pictures are drawn anew. Chromium turns
Textual's screenshots into pixels.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from textual.pilot import Pilot

from bas_tui.run_state import RunState, reduce
from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.screen import ComposeScreen
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.runs.run_list import RunList
from bas_tui.tui.train.closing_card import ClosingCard
from bas_tui.tui.train.screen import TrainScreen
from engine.runs.event_reading import read_events
from engine.runs.events import RunEnded, StepDone
from engine.runs.folder import RunDir
from engine.runs.library import find_run

ROOT = Path(__file__).parents[1]
SIZES = ((80, 24), (120, 36), (200, 60))
TOUR_SIZE, TOUR_WIDTH, TOUR_COLORS = (100, 30), 800, 192
WIDTHS = {80: 800, 120: 1080, 200: 1500}
"""Pixels of a picture, by columns."""
REPLAYED = 14
"""Frames of the training."""


class Frame(NamedTuple):
    """A screenshot and how long it stays in the tour."""

    svg: str
    milliseconds: int


def pixels_of(svgs: list[str]) -> list[Image.Image]:
    """Screenshots as pictures, by one start of Chromium each."""
    pictures: list[Image.Image] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, svg in enumerate(svgs):
            source, target = Path(folder) / f"{number}.svg", Path(folder) / f"{number}.png"
            source.write_text(svg, encoding="utf-8")
            box = svg[svg.index("viewBox") :].split('"')[1].split()
            size = ",".join(str(round(float(side))) for side in box[2:])
            subprocess.run(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                 f"--window-size={size}", f"--screenshot={target}", f"file://{source}"],
                check=True, capture_output=True,
            )  # fmt: skip
            with Image.open(target) as opened:
                pictures.append(opened.convert("RGB"))
    return pictures


def scaled(picture: Image.Image, width: int) -> Image.Image:
    """At most so wide."""
    height = round(picture.height * width / picture.width)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


async def settle(pilot: Pilot[Any], seconds: float = 1.0) -> None:
    """Let everything arrive that was asked for."""
    await pilot.pause()
    await asyncio.sleep(seconds)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def with_app(
    screen: str, size: tuple[int, int], act: Callable[[Pilot[Any]], Awaitable[None]], **names: Any
) -> None:
    """Run the application on one of its screens."""
    terminal = Terminal(sharpest="quadrant")
    app = BasApp(Start(screen=screen, arguments=names), terminal=terminal)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await act(pilot)


async def stills(run: RunDir, other: RunDir, size: tuple[int, int]) -> dict[str, str]:
    """Every screen, by the name of its picture."""
    found: dict[str, str] = {}

    def keep(name: str, *keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
        async def act(pilot: Pilot[Any]) -> None:
            await pilot.press(*keys)
            await settle(pilot)
            found[name] = pilot.app.export_screenshot()

        return act

    async def overlay(pilot: Pilot[Any]) -> None:
        runs = pilot.app.screen.query_one(RunList)
        for one in (run, other):
            runs.select_run(one.name)
            await pilot.press("space")
        await pilot.press("o")
        await settle(pilot)
        found["overlay"] = pilot.app.export_screenshot()

    await with_app("runs", size, keep("runs"))
    await with_app("runs", size, overlay)
    await with_app("scene", size, keep("scene"), scene=run.scene)
    await with_app("train", size, keep("train"), run=run.name)
    await with_app("train", size, keep("result", "f"), run=run.name)
    await with_app("compose", size, keep("compose", "escape"), run=run.name)
    await with_app("compose", size, keep("place", "escape", "P"), run=run.name)
    return found


async def tour(run: RunDir) -> list[Frame]:
    """From a photo with masks to new pictures."""
    frames: list[Frame] = []

    def shoot(pilot: Pilot[Any], milliseconds: int) -> None:
        frames.append(Frame(pilot.app.export_screenshot(), milliseconds))

    async def scene(pilot: Pilot[Any]) -> None:
        shoot(pilot, 2200)

    async def train(pilot: Pilot[Any]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, TrainScreen)
        screen.detach()
        for state in replayed(run):
            screen.present(state)
            await settle(pilot, 0.2)
            card = isinstance(pilot.app.screen, ClosingCard)
            shoot(pilot, 3500 if card else 350)

    async def compose(pilot: Pilot[Any]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, ComposeScreen)
        await pilot.press("home", *["delete"] * 60)
        for word in ("<teapot>", " and ", "<penguin>", " in snow"):
            await pilot.press(*[{"<": "less_than_sign", ">": "greater_than_sign",
                                 " ": "space"}.get(char, char) for char in word])  # fmt: skip
            shoot(pilot, 450)
        await pilot.press("enter")
        shown = -1.0
        while screen.queue.current is not None:
            drawing = screen.queue.current
            if drawing.fraction - shown >= 0.25:
                shown = drawing.fraction
                shoot(pilot, 300)
            await pilot.pause(0.05)
        await settle(pilot)
        shoot(pilot, 2500)
        screen.set_focus(screen.query_one(Gallery))
        await pilot.press("v")
        await settle(pilot)
        shoot(pilot, 2500)

    await with_app("scene", TOUR_SIZE, scene, scene=run.scene)
    await with_app("train", TOUR_SIZE, train, run=run.name)
    await with_app("compose", TOUR_SIZE, compose, run=run.name)
    return frames


def replayed(run: RunDir) -> list[RunState]:
    """The run's states at some of its steps, and at its end."""
    events = read_events(run)
    total = sum(isinstance(event, StepDone) for event in events)
    state, states, done = RunState(), list[RunState](), 0
    for event in events:
        state = reduce(state, event)
        if isinstance(event, StepDone):
            done += 1
            if done * REPLAYED // total > len(states):
                states.append(state)
        elif isinstance(event, RunEnded):
            states.append(state)
    return states


def write_tour(frames: list[Frame], path: Path) -> None:
    """One palette for all frames, and only what changes between them."""
    pictures = [scaled(picture, TOUR_WIDTH) for picture in pixels_of([f.svg for f in frames])]
    column = Image.new("RGB", (TOUR_WIDTH, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height
    palette = column.quantize(TOUR_COLORS, dither=Image.Dither.NONE)
    shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    shown[0].save(
        path, save_all=True, append_images=shown[1:], loop=0, optimize=True,
        duration=[frame.milliseconds for frame in frames],
    )  # fmt: skip


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a finished run with pictures")
    parser.add_argument("other", help="another one, for the comparison")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screens")
    parser.add_argument("--only", choices=("stills", "tour"))
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        raise SystemExit("chromium is missing")
    run, other = find_run(options.run), find_run(options.other)
    options.out.mkdir(exist_ok=True)
    if options.only != "stills":
        write_tour(asyncio.run(tour(run)), options.out / "tour.gif")
    for size in SIZES if options.only != "tour" else ():
        found = asyncio.run(stills(run, other, size))
        for name, picture in zip(found, pixels_of(list(found.values())), strict=True):
            ending = "" if size[0] == 120 else f"-{size[0]}x{size[1]}"
            small = scaled(picture, WIDTHS[size[0]]).quantize(128, dither=Image.Dither.NONE)
            small.save(options.out / f"{name}{ending}.png", optimize=True)


if __name__ == "__main__":
    main()
