"""What the application writes on one terminal: run in a process of its own.

Rich and Textual keep the escape sequences of a style once they are made, so that a second terminal
with other colours in the same process would be written to in the first one's colours.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from textual.pilot import Pilot

from bas_tui.run_state import RunState, reduce, reduce_all
from bas_tui.tui.app import Start
from bas_tui.tui.drawing.terminal import Terminal
from engine.runs.events import Event, StepDone
from tests.tui.harness import record
from tests.tui.pilots import app_of, train_screen
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


def apart(work: Callable[..., T], *arguments: Any) -> T:
    """The result of a function of this module, from a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
