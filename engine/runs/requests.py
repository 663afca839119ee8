"""A request to the generation host: what to draw, as an object and as a protocol line."""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.errors import UserError
from engine.runs.folder import RunDir

MAX_COUNT = 64


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What to draw. `seed`, `steps`, `guidance` of None mean: random, and the run's own."""

    run: RunDir
    prompt: str
    out: Path
    """Folder of the pictures; the host makes it."""
    negative: str = ""
    seed: int | None = None
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    strength: float = 1.0
    """Times the learned weight change: 0 draws with the base's weights (and the learned tokens)."""
    step_previews: bool = False
    device: str = "auto"
    request: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def line(self) -> str:
        """The request as one JSON line, without the newline."""
        paths = {"run": str(self.run.path.resolve()), "out": str(self.out.resolve())}
        return json.dumps({**vars(self), **paths})

    @classmethod
    def parse(cls, record: dict[str, Any]) -> GenerationRequest:
        """The request of a protocol line; raises UserError for what cannot be one."""
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {key: value for key, value in record.items() if key in known}
        try:
            values |= {"run": RunDir(Path(values["run"])), "out": Path(values["out"])}
            request = cls(**values)
            request._check()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"incomplete request: {error}", "name run, prompt and out") from error
        return request

    def _check(self) -> None:
        if not self.prompt.strip():
            raise UserError("the prompt is empty", 'try "a photo of <asset0>"')
        if not 1 <= self.count <= MAX_COUNT:
            raise UserError(f"cannot make {self.count} pictures", f"ask for 1 to {MAX_COUNT}")
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise UserError(f"cannot take {self.steps} steps", "use 1 to 1000, 50 is usual")
        if self.guidance is not None and not 0 <= self.guidance <= 100:
            raise UserError(f"guidance cannot be {self.guidance}", "use 0 to 100, 7.5 is usual")
        if not 0 <= self.strength <= 2:
            raise UserError(f"the strength cannot be {self.strength}", "use 0 to 2, 1 is usual")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UserError(f"the seed cannot be {self.seed}", "use a whole number, 0 or more")
