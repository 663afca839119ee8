"""What the application writes on one terminal: run in a process of its own.

Rich and Textual keep the escape sequences of a style once they are made, so that a second terminal
with other colours in the same process would be written to in the first one's colours.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import numpy as np
from textual.pilot import Pilot

from bas_tui.run_state import RunState, reduce, reduce_all
from bas_tui.tui.app import Start
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.drawing.terminal import Terminal
from engine.results.pictures import save_generated
from engine.runs.events import Event, StepDone
from tests.tui.harness import record
from tests.tui.pilots import app_of, screen_text, train_screen, until
from tests.tui.synthetic import events_of, make_run

T = TypeVar("T")

REDRAWS = 20
STEPS_A_SECOND = 5


def replayed(first: int, count: int, steps_each: int) -> list[RunState]:
    """The states that redraws from step `first` on would see."""
    events = list(events_of("desk"))
    at = next(k for k, e in enumerate(events) if isinstance(e, StepDone) and e.step == first)
    states = [reduce_all(events[: at + 1])]
    batch: list[Event] = []
    for event in events[at + 1 :]:
        batch.append(event)
        if isinstance(event, StepDone) and (event.step - first) % steps_each == 0:
            state = states[-1]
            for past in batch:
                state = reduce(state, past)
            states.append(state)
            batch = []
            if len(states) > count:
                break
    return states


def bytes_per_redraw(terminal: Terminal, size: tuple[int, int], first: int) -> float:
    make_run("desk")
    states = replayed(first, REDRAWS, round(STEPS_A_SECOND * terminal.cadence))
    before = total = 0

    async def act(pilot: Pilot[Any]) -> None:
        nonlocal before, total
        screen, meter = await train_screen(pilot, 800), app_of(pilot).meter
        screen.detach()
        for number, state in enumerate(states):
            screen.present(state)
            await pilot.pause()
            await pilot.pause()
            if number == 0:
                before = meter.total
        total = meter.total - before

    asyncio.run(record(Start(screen="train", arguments={"run": "desk"}), terminal, size, act))
    return total / REDRAWS


def renditions(terminal: Terminal) -> set[str]:
    """The parameters of every SGR sequence that a walk over three screens writes."""
    make_run("desk", steps=(12, 12))

    async def act(pilot: Pilot[Any]) -> None:
        await train_screen(pilot, 24)
        await pilot.press("question_mark", "escape", "R")
        await pilot.pause()

    start = Start(screen="train", arguments={"run": "desk"})
    written = asyncio.run(record(start, terminal, (100, 30), act))
    return set(re.findall(r"\x1b\[([\d;]+)m", written))


def paced_seconds(size: tuple[int, int]) -> tuple[float, float, list[str], list[str]]:
    """Arrowing and zooming through large noisy pictures on a slow link: most bytes in a second,
    all bytes, and the rows of the screen as they are on the terminal and as they should be."""
    run = make_run("desk", steps=(12, 12))
    rng = np.random.default_rng(3)
    for seed in range(4):
        pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        save_generated(pixels, run.pictures, f"noise-{seed}", {"prompt": "<asset0>", "seed": seed})
    sent: list[tuple[float, int]] = []
    rows: tuple[list[str], list[str]] = [], []

    async def act(pilot: Pilot[Any]) -> None:
        nonlocal rows
        app = app_of(pilot)
        add = app.meter.add

        def note(data: str) -> int:
            sent.append((time.monotonic(), add(data)))
            return sent[-1][1]

        app.meter.add = note  # type: ignore[method-assign]
        gallery = app.screen.query_one(Gallery)
        await until(pilot, lambda: len(gallery.tiles) == 4, "the pictures")
        app.screen.set_focus(gallery)
        await pilot.press("enter")
        for _ in range(5):
            await pilot.press("right")
            await pilot.pause(0.1)
        await pilot.press("escape", "v")
        await until(pilot, lambda: not app.shown.waiting, "everything has been sent")
        await pilot.pause(0.3)
        await until(pilot, lambda: not app.shown.waiting, "everything has been sent")
        there = ["".join(row.chars).rstrip() for _, row in sorted(app.shown._rows.items())]
        rows = there, [line.rstrip() for line in screen_text(app).splitlines()]

    slow = Terminal(colors=256, low_bandwidth=True, sharpest="quadrant")
    asyncio.run(record(Start(screen="compose", arguments={"run": "desk"}), slow, size, act))
    most = max(sum(count for at, count in sent if first <= at < first + 1) for first, _ in sent)
    return most, sum(count for _, count in sent), *rows


def apart(work: Callable[..., T], *arguments: Any) -> T:
    """The result of a function, from a process of its own that has drawn nothing yet.

    Processes are forks of one that has only imported this module.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    environ = dict(os.environ)
    with ProcessPoolExecutor(1, context, _begin, (environ,)) as pool:
        return pool.submit(work, *arguments).result()


def _begin(environ: dict[str, str]) -> None:
    """The test's environment: the process that is forked has that of the first test."""
    os.environ.clear()
    os.environ.update(environ)
