"""What a run is doing, from its manifest, its last events and whether its host lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from engine.core.errors import UserError
from engine.core.prompt_grammar import PAPER_GRAMMAR, Grammar
from engine.core.settings import build_config, flatten
from engine.runs.event_reading import tail_records
from engine.runs.events import Outcome, RunEnded, StepDone
from engine.runs.folder import RunDir
from engine.runs.liveness import host_pid
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest

State = Literal["new", "training", "paused", "finished", "stopped", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """One line of the run list."""

    run: RunDir
    state: State
    base: str
    concepts: tuple[ConceptEntry, ...]
    created: float
    step: int
    total_steps: int
    phase: int
    loss: float | None
    message: str = ""
    grammar: Grammar = PAPER_GRAMMAR
    """How its prompts speak of its things."""


def describe(run: RunDir) -> RunInfo:
    """What `bas runs` says of a run: manifest, last events, live or not."""
    manifest = read_manifest(run)
    step, total, phase, loss, message = 0, 0, 0, None, ""
    state: State = "new"
    paused = False
    for record in tail_records(run.events):
        kind = record.get("kind")
        # A damaged line of a known kind may hold anything; it says nothing.
        if kind == StepDone.kind and _are(int, record, "step", "phase"):
            step, phase, state = record["step"], record["phase"], "training"
            loss = record["loss"] if _are(float, record, "loss") else None
        elif kind == "run_started" and _are(int, record, "total_steps", "step"):
            total, step, state, paused = record["total_steps"], record["step"], "training", False
        elif kind == "paused":
            paused = True
        elif kind == "resumed":
            paused = False
        elif kind == RunEnded.kind and record.get("outcome") in get_args(Outcome):
            state, message = record["outcome"], str(record.get("message", ""))
            step = max(step, record["step"]) if _are(int, record, "step") else step
    alive = host_pid(run) is not None
    if state == "training" and not alive:
        state = "interrupted"
    elif state == "training" and paused:
        state = "paused"
    elif alive and state in ("new", "stopped", "failed"):
        state = "training"
    return RunInfo(
        run=run, state=state, base=manifest.base, concepts=manifest.concepts,
        created=manifest.created, step=step, total_steps=total or _planned_steps(manifest),
        phase=phase, loss=loss, message=message, grammar=manifest.grammar,
    )  # fmt: skip


class Descriptions:
    """`describe` for who asks again and again: a run whose files did not change is not read."""

    def __init__(self) -> None:
        self._seen: dict[RunDir, tuple[tuple[object, ...], RunInfo]] = {}

    def __call__(self, run: RunDir) -> RunInfo:
        """What `describe` says now; raises UserError as it does."""
        mark = _mark(run)
        known = self._seen.get(run)
        if known is None or known[0] != mark:
            self._seen[run] = known = (mark, describe(run))
        return known[1]


def _mark(run: RunDir) -> tuple[object, ...]:
    marks: list[object] = [host_pid(run)]
    for path in (run.events, run.manifest):
        try:
            stat = path.stat()
            marks += [stat.st_size, stat.st_mtime_ns]
        except OSError:
            marks.append(None)
    return tuple(marks)


def _are(kind: type, record: dict[str, Any], *keys: str) -> bool:
    return all(isinstance(record.get(key), kind) for key in keys)


def _planned_steps(manifest: Manifest) -> int:
    try:
        return build_config(flatten(manifest.settings)).total_steps
    except UserError:
        return 0
