"""One resident process for pictures: order, cancel, death, end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bas_tui.client import GenerationRequest, Generator
from engine.core.errors import UserError
from engine.runs import events as ev
from engine.runs.folder import RunDir

Fake = Callable[..., None]


def request(run: RunDir, prompt: str, count: int = 2) -> GenerationRequest:
    return GenerationRequest(run=run, prompt=prompt, out=Path("out"), count=count)


def kinds(events: list[ev.Event]) -> list[str]:
    return [event.kind for event in events]


def test_requests_get_their_own_events_from_one_process(run: RunDir, fake: Fake) -> None:
    fake()
    with Generator() as generator:
        first = generator.submit(request(run, "one"))
        second = generator.submit(request(run, "two", count=1))
        two, one = list(second), list(first)
        process = generator._process
        assert kinds(list(generator.submit(request(run, "three", 1)))) == kinds(two)
        assert generator._process is process, "the model stays loaded"
    assert kinds(one) == [
        "progress", "generation_started", "generation_step", "generation_step", "picture",
        "generation_step", "generation_step", "picture", "generation_ended",
    ]  # fmt: skip
    started = [event for event in one + two if isinstance(event, ev.GenerationStarted)]
    assert [event.prompt for event in started] == ["one", "two"]
    assert process is not None and process.wait(10) == 0, "it ends at end of file"


def test_cancel_ends_a_request_and_leaves_the_next(run: RunDir, fake: Fake) -> None:
    fake()
    with Generator() as generator:
        waiting = request(run, "wait")
        events = generator.submit(waiting)
        assert next(events).kind == "progress"
        generator.cancel(waiting.request)
        last = list(events)[-1]
        assert isinstance(last, ev.GenerationEnded) and last.outcome == "cancelled"
        last = list(generator.submit(request(run, "again")))[-1]
        assert isinstance(last, ev.GenerationEnded) and last.outcome == "finished"


def test_a_dead_process_ends_its_requests_and_is_started_anew(run: RunDir, fake: Fake) -> None:
    fake()
    with Generator() as generator:
        first = generator.submit(request(run, "die"))
        second = generator.submit(request(run, "never reached"))
        for events in (first, second):
            last = list(events)[-1]
            assert isinstance(last, ev.GenerationEnded) and last.outcome == "failed"
            assert "out of memory" in last.message and str(generator.log) in last.remedy
        last = list(generator.submit(request(run, "again")))[-1]
        assert isinstance(last, ev.GenerationEnded) and last.outcome == "finished"


def test_close_from_another_thread_ends_the_iteration(run: RunDir, fake: Fake) -> None:
    fake()
    generator = Generator()
    events = generator.submit(request(run, "wait"))
    assert next(events).kind == "progress"
    closer = threading.Thread(target=generator.close)
    closer.start()
    last = list(events)[-1]
    closer.join(20)
    assert isinstance(last, ev.GenerationEnded) and last.outcome == "cancelled"
    with pytest.raises(UserError):
        generator.submit(request(run, "too late"))
