"""A resident process that makes pictures: `python -m engine generate`, one model kept loaded."""

from __future__ import annotations

from bas_tui.client.resident import Resident
from engine.runs.events import GenerationEnded


class Generator(Resident):
    """The generation process: takes `GenerationRequest`s, each answered up to `GenerationEnded`."""

    def __init__(self) -> None:
        super().__init__("generate", "generation", GenerationEnded)
