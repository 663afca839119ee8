"""A budget of bytes for a fixed replay: what the Train screen sends is counted, not timed.

The replay feeds the screen's panes the same states in the same order, so that the bytes depend on
nothing but the code. The requirement is 30 kB a second, and 8 kB on slow links; the limits here are
a third above what was measured, so that a change which costs bytes is noticed.
"""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from bas_tui.run_state import RunState, reduce, reduce_all
from bas_tui.tui.app import Start
from bas_tui.tui.screens.train import TrainScreen
from bas_tui.tui.terminal import TRUECOLOR, Terminal
from engine.events import Event, StepDone
from tests.tui.harness import record
from tests.tui.pilots import train_screen
from tests.tui.synthetic import events_of, make_run

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


async def bytes_per_redraw(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, size: tuple[int, int], first: int
) -> float:
    system = "truecolor" if terminal.colors == TRUECOLOR else "256"
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", system)
    make_run("desk")
    states = replayed(first, REDRAWS, round(STEPS_A_SECOND * terminal.cadence))
    before = total = 0

    async def act(pilot: Pilot[Any]) -> None:
        nonlocal before, total
        screen: TrainScreen = await train_screen(pilot, 800)
        screen.detach()
        for number, state in enumerate(states):
            screen.present(state)
            await pilot.pause()
            await pilot.pause()
            if number == 0:
                before = screen.bas.meter.total
        total = screen.bas.meter.total - before

    await record(Start(screen="train", arguments={"run": "desk"}), terminal, size, act)
    return total / REDRAWS


@pytest.mark.parametrize(("first", "limit"), [(60, 5_000), (450, 1_200)])
async def test_a_second_of_watching(
    monkeypatch: pytest.MonkeyPatch, first: int, limit: int
) -> None:
    """Early on maps and axes still move (3.7 kB measured), later hardly anything (0.7 kB)."""
    cost = await bytes_per_redraw(monkeypatch, Terminal(), (120, 36), first)
    assert 200 < cost < limit


async def test_a_second_on_a_slow_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds a redraw: 3.5 kB measured for each."""
    slow = Terminal(colors=256, low_bandwidth=True)
    cost = await bytes_per_redraw(monkeypatch, slow, (120, 36), 60)
    assert 200 < cost / slow.cadence < 2_500


async def test_a_large_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps twice as large: 3.9 kB measured in truecolor."""
    cost = await bytes_per_redraw(monkeypatch, Terminal(), (200, 60), 60)
    assert 200 < cost < 6_000
