"""A resident process that makes pictures: `python -m engine generate`, one model kept loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bas_tui.client.resident import Answers, Resident
from engine.runs.events import GenerationEnded
from engine.runs.requests import GenerationRequest


class Generator:
    """The generation process; any thread may submit, cancel or close."""

    def __init__(self) -> None:
        self._host = Resident("generate", "generation", GenerationEnded, _ended)

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """What the process says besides events: warnings and tracebacks of libraries."""
        return self._host.log

    @property
    def pid(self) -> int | None:
        """Of the process; None before the first request."""
        return self._host.pid

    def submit(self, request: GenerationRequest) -> Answers:
        """Hand the request in now; the iterator yields its events up to `generation_ended`."""
        return self._host.submit(request.request, request.line())

    def cancel(self, request: str) -> None:
        """Ask for the end of a request; its iterator still ends with `generation_ended`."""
        self._host.cancel(request)

    def close(self) -> None:
        """End the process; open requests end as cancelled."""
        self._host.close()


def _ended(**values: Any) -> GenerationEnded:
    return GenerationEnded(**values)
