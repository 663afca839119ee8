"""What a run has learned, in numbers: where the token of each thing looks, and the work it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bas_tui.run_health import LEAK_LIMIT
from bas_tui.run_state import RunState
from engine.core.durations import clock
from engine.runs.events import ConceptInfo

JUDGED_MAPS = 5
"""A single map depends on the noise of its step: so many of the first and last are averaged."""


class Lesson(NamedTuple):
    """One thing: its token's attention against its mask, 0..1; None where no map was drawn."""

    concept: ConceptInfo
    iou: float | None
    iou_before: float | None
    """At the beginning of the run."""
    leak: float | None

    @property
    def leaks(self) -> bool:
        """Whether most of the attention lies outside the mask."""
        return self.leak is not None and self.leak > LEAK_LIMIT

    def text(self, width: int) -> str:
        """IoU and leak in at most `width` columns."""
        if self.iou is None or self.leak is None:
            return "no attention map"[:width]
        short = f"IoU {self.iou:.2f} leak {self.leak:.0%}"
        texts = [short, f"{self.iou:.2f} {self.leak:.0%}"]
        if self.iou_before is not None:
            texts.insert(0, f"IoU {self.iou_before:.2f} → {self.iou:.2f}  leak {self.leak:.0%}")
        return next((text for text in texts if len(text) <= width), texts[-1][:width])


def lessons(state: RunState) -> list[Lesson]:
    """What is known of every thing of a run, in its order."""
    found: list[Lesson] = []
    for concept in state.concepts:
        frames = state.attention.get(concept.token, ())
        first, last = frames[:JUDGED_MAPS], frames[-JUDGED_MAPS:]
        enough = len(frames) > 2 * JUDGED_MAPS
        found.append(
            Lesson(
                concept,
                iou=_mean([frame.iou for frame in last]),
                iou_before=_mean([frame.iou for frame in first]) if enough else None,
                leak=_mean([frame.leak for frame in last]),
            )
        )
    return found


def work(state: RunState) -> str:
    """Steps, time, device, loss: what it took, over all hosts of the run."""
    seconds = float(np.nansum(np.frombuffer(state.history.column("seconds"))))
    words = [f"{state.step} steps in {clock(seconds)}"]
    words += [f"on {state.device}"] if state.device else []
    loss = state.ema("loss")
    words += [f"· loss {loss:.4f}"] if loss is not None and np.isfinite(loss) else []
    return " ".join(words)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
