"""How a run looks on stderr: a live block of bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from bas_tui.cli import stderr
from bas_tui.run_health import Warned, warnings_of
from bas_tui.run_state import STAGE_STATUS, RunState
from engine.core.durations import clock
from engine.core.plain_text import plain
from engine.runs.events import (
    Event,
    Notice,
    PhaseStarted,
    PreviewSaved,
    Resumed,
    RunStarted,
    StepDone,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_SECONDS = 10.0


class Display(Protocol):
    """What a run is shown with."""

    def show(self, state: RunState, event: Event) -> None:
        """Take note of one more event and the state after it."""
        ...


@contextmanager
def display(state: RunState, *, live: bool) -> Generator[Display]:
    """A live display on a terminal, else lines; `state` is what is known already."""
    if live:
        with _live(state) as shown:
            yield shown
    else:
        if state.run:
            stderr.say(headline(state))
            if not state.over:
                stderr.say(standing(state))
        yield Lines()


def losses(state: RunState) -> str:
    """`loss 0.1234  masked 0.1200  attention 0.0340`, moving averages; empty before any step."""
    parts = [
        f"{part} {value:.4f}"
        for part in ("loss", "masked", "attention", "prior")
        if (value := state.ema(part)) is not None and (part != "prior" or value)
    ]
    return "  ".join(parts)


def headline(state: RunState) -> str:
    """Run, base model, device and tokens on one line."""
    tokens = " ".join(f"<{concept.name}>" for concept in state.concepts)
    on = f"{short_base(state.base)} on {state.device} {state.precision}"
    return f"{state.run} · {on} · {tokens}"


def short_base(base: str) -> str:
    """A name, or the last part of a path."""
    return base.rstrip("/").rpartition("/")[2] if base.startswith("/") else base


def standing(state: RunState) -> str:
    """Status, step, losses, pace and time left on one line."""
    parts = [
        f"phase {state.phase}" if state.status == "training" else state.status,
        f"step {state.step}/{state.total_steps}",
        losses(state),
    ]
    if not state.over:
        parts += [state.pace, f"{clock(state.eta)} left"]
    return "  ".join(part for part in parts if part)


class Lines:
    """A line at every change, and every ten seconds of training."""

    def __init__(self) -> None:
        self._next = 0.0
        self._stage = ""
        self._warned: set[tuple[str, str]] = set()

    def show(self, state: RunState, event: Event) -> None:
        """Print what is new."""
        for line in news(state, event):
            stderr.say(line)
        if isinstance(event, Notice):
            stderr.note(event.level, event.message, event.remedy)
        for warned in fresh_warnings(state, event, self._warned):
            stderr.note("warning", warned.message, warned.remedy)
        stage = state.stage if state.stage is None or state.stage.name in STAGE_STATUS else None
        name = stage.name if stage is not None else ""
        if name != self._stage:
            self._stage = name
            if stage is not None:
                stderr.say(stage.words)
        elif isinstance(event, StepDone) and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            stderr.say(standing(state))


def news(state: RunState, event: Event) -> Iterator[str]:
    """Lines worth keeping on the screen, without notices and warnings."""
    if isinstance(event, RunStarted):
        yield headline(state)
        if event.step:
            yield f"going on from step {event.step}"
    elif isinstance(event, PhaseStarted):
        plan = state.plan(event.phase)
        span = f", steps {plan.first}-{plan.last}" if plan else ""
        yield f"phase {event.phase}{span}: {event.trained_parameters:,} numbers are trained"
    elif isinstance(event, PreviewSaved):
        yield f"preview at step {event.step}: {event.path}"
    elif isinstance(event, Resumed):
        yield "going on"


def fresh_warnings(state: RunState, event: Event, seen: set[tuple[str, str]]) -> Iterator[Warned]:
    """Warnings of the numbers that were not given before; looked at once a step."""
    if isinstance(event, StepDone):
        for warned in warnings_of(state):
            if (warned.kind, warned.token) not in seen:
                seen.add((warned.kind, warned.token))
                yield warned


@contextmanager
def _live(state: RunState) -> Generator[Display]:
    from rich.live import Live

    shown = _LiveDisplay(state)
    with Live(
        get_renderable=shown.render, console=stderr.console(), refresh_per_second=4, transient=False
    ) as live:
        shown.live = live
        yield shown
        live.refresh()


class _LiveDisplay:
    """Bars by phase and a line of losses; notices scroll above."""

    def __init__(self, state: RunState) -> None:
        from rich.live import Live

        self.live: Live | None = None
        self._state = state
        self._warned: set[tuple[str, str]] = set()

    def show(self, state: RunState, event: Event) -> None:
        self._state = state
        if self.live is None:
            return
        for line in news(state, event):
            if line != headline(state):  # The block itself says it.
                self._print(line, "dim")
        if isinstance(event, Notice):
            style = {"info": "dim", "warning": "yellow", "error": "bold red"}[event.level]
            text = f"{event.message} - {event.remedy}" if event.remedy else event.message
            self._print(text if event.level == "info" else f"{event.level}: {text}", style)
        for warned in fresh_warnings(state, event, self._warned):
            self._print(f"warning: {warned.message} - {warned.remedy}", "yellow")

    def _print(self, text: str, style: str) -> None:
        from rich.text import Text

        assert self.live is not None
        self.live.console.print(Text(plain(text), style=style))

    def render(self) -> RenderableType:
        """The block as it is now; Live asks for it four times a second."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state = self._state
        if not state.run and state.stage is None:
            return Text("starting ...", style="dim")
        bars = Table.grid(padding=(0, 2))
        for plan in state.phases:
            done, total = state.phase_steps(plan.number)
            if not total:
                continue
            here = plan.number == state.phase and not state.over
            estimate = clock(state.phase_eta(plan.number))
            left = "done" if done == total else f"{estimate} left" if estimate != "-" else ""
            bars.add_row(
                Text(f"phase {plan.number}", style="bold" if here else ""),
                ProgressBar(total=total, completed=done, width=30),
                Text(f"{done}/{total}"),
                Text(left, style="dim"),
            )
        if state.stage is not None and not state.over:
            stage = state.stage
            label = stage.label or stage.words
            count = f"{stage.done}/{stage.total}" if stage.total else ""
            total = stage.total or None
            bars.add_row(
                Text(stage.name, style="bold"),
                ProgressBar(total=total, completed=stage.done, width=30, pulse=total is None),
                Text(count),
                Text(label, style="dim"),
            )
        numbers = "  ".join(part for part in (losses(state), state.pace) if part)
        status = {"paused": "paused: bas resume"}.get(state.status, "")
        lines: list[RenderableType] = [bars]
        if state.run:
            lines.insert(0, Text(headline(state), style="bold"))
        if numbers:
            lines.append(Text(numbers))
        fits = _fits(state)
        if fits:
            lines.append(Text(f"attention on its mask  {fits}", style="dim"))
        if status:
            lines.append(Text(status, style="yellow"))
        return Group(*lines)


def _fits(state: RunState) -> str:
    """`teapot 0.61  penguin 0.55`: the last IoU of each token's map with its mask."""
    return "  ".join(
        f"{concept.name} {frames[-1].iou:.2f}"
        for concept in state.concepts
        if (frames := state.attention.get(concept.token))
    )
