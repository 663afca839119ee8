"""The only wire format: frozen events, one JSON object per line.

A training run, a generation and every viewer speak it. `seq` grows by one per event of a run, so a
viewer can say from where it wants to go on; `time` is seconds since the epoch (UTC).
Pictures travel as paths, never as bytes; attention maps are small enough to ride along
(uint8, base64).
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

from engine.core.errors import UserError
from engine.core.plain_text import plain_values

PROTOCOL_VERSION = 1
Outcome = Literal["finished", "stopped", "failed"]


EVENTS: dict[str, type[Event]] = {}
"""Every kind of event that this process knows, by its name."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events. `seq` and `time` are filled in by whoever logs the event (the host)."""

    kind: ClassVar[str] = "event"
    seq: int = 0
    time: float = 0.0

    def __init_subclass__(cls) -> None:
        EVENTS[cls.kind] = cls


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One phase of the plan: steps `first`..`last`, counted from 1 and both inclusive."""

    number: int
    first: int
    last: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class ConceptInfo:
    """What a viewer needs to know of a concept. `mask` is the mask on the attention grid."""

    token: str
    name: str
    initializer: str
    mask: str
    """grid*grid uint8 (0 or 255), base64, row by row."""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """First event of every start of a run, also after a resume (`step` is then above 0)."""

    kind: ClassVar[str] = "run_started"
    run: str
    base: str
    device: str
    precision: str
    step: int
    total_steps: int
    phases: tuple[PhasePlan, ...]
    concepts: tuple[ConceptInfo, ...]
    grid: int
    resolution: int
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """A line of talk: what was chosen, what was odd."""

    kind: ClassVar[str] = "notice"
    level: Literal["info", "warning", "error"]
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A stage outside the step loop: loading, encoding, prior pictures, a preview, generation."""

    kind: ClassVar[str] = "progress"
    stage: Literal["download", "load", "words", "encode", "prior", "preview", "generate", "save"]
    done: int
    total: int
    """0 where the total is unknown."""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """The first step of a phase is about to run; the optimiser is fresh."""

    kind: ClassVar[str] = "phase_started"
    phase: int
    step: int
    trained_parameters: int


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """One optimiser step. Losses are means over the step's samples."""

    kind: ClassVar[str] = "step"
    step: int
    phase: int
    loss: float
    """The total that was differentiated."""
    masked: float
    """Masked diffusion loss."""
    attention: float
    """Cross-attention loss before its weight."""
    prior: float
    """Prior preservation loss before its weight; 0 where it is off."""
    grad_norm: float
    """Gradient norm over the trained parameters before clipping."""
    seconds: float
    """Wall time of the step."""
    concepts: tuple[int, ...] = ()
    """Concepts sampled in this step (union over the batch)."""


@dataclass(frozen=True, kw_only=True)
class TokenMap:
    """A token's cross-attention map at one step, with two numbers against its mask."""

    token: str
    map: str
    """grid*grid uint8, max-normalised, base64, row by row."""
    iou: float
    """Intersection over union of (map > half of its maximum) and the mask, 0..1."""
    leak: float
    """Share of the attention mass outside the mask, 0..1."""


@dataclass(frozen=True, kw_only=True)
class AttentionMaps(Event):
    """Maps of the concepts sampled at this step."""

    kind: ClassVar[str] = "attention"
    step: int
    grid: int
    maps: tuple[TokenMap, ...]


@dataclass(frozen=True, kw_only=True)
class PreviewSaved(Event):
    """A preview picture lies at `path` (relative to the run folder)."""

    kind: ClassVar[str] = "preview"
    step: int
    path: str
    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is complete on disk at `path` (relative to the run folder)."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Training stands still until a `resume` or `stop`."""

    kind: ClassVar[str] = "paused"
    step: int


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """Training goes on after a pause."""

    kind: ClassVar[str] = "resumed"
    step: int


@dataclass(frozen=True, kw_only=True)
class SettingChanged(Event):
    """A setting was changed while the run goes on, for every viewer to know."""

    kind: ClassVar[str] = "setting"
    key: str
    """`preview.every` or `preview.attention_every`."""
    value: int


@dataclass(frozen=True, kw_only=True)
class MachineLoad(Event):
    """How busy the host's machine is; told to the viewers of now that ask for it, never logged.

    It is no part of the run: `seq` is -1. Not-a-number and 0 stand for what cannot be read.
    """

    kind: ClassVar[str] = "machine"
    cpu: float
    """Share of all processor cores, 0..1."""
    memory_used: int
    """Bytes that programs hold and could not give back."""
    memory_total: int
    disk_free: int
    """Bytes left on the disk of the run folder."""
    cpu_celsius: float = math.nan
    gpu_name: str = ""
    gpu: float = math.nan
    """Share of the time in which the GPU computed, 0..1."""
    gpu_memory_used: int = 0
    gpu_memory_total: int = 0
    gpu_celsius: float = math.nan


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """Last event of a host. `stopped` runs can be resumed; `failed` says why and what to do."""

    kind: ClassVar[str] = "run_ended"
    step: int
    outcome: Outcome
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class GenerationStarted(Event):
    """A generation host took a request: `count` pictures of `steps` denoising steps each."""

    kind: ClassVar[str] = "generation_started"
    request: str
    """Identifier given by the requester; echoed in every event of the request."""
    run: str
    prompt: str
    seed: int
    count: int
    steps: int
    guidance: float
    negative: str = ""
    opening: str = ""
    """The training prompt's words, read before a prompt that begins with a token."""


@dataclass(frozen=True, kw_only=True)
class GenerationStep(Event):
    """A denoising step of picture `index` is done; `preview` is a small PNG's path or empty."""

    kind: ClassVar[str] = "generation_step"
    request: str
    index: int
    step: int
    steps: int
    preview: str = ""


@dataclass(frozen=True, kw_only=True)
class PictureSaved(Event):
    """Picture `index` of a request lies at `path` (absolute)."""

    kind: ClassVar[str] = "picture"
    request: str
    index: int
    path: str
    seed: int
    score: float = math.nan
    """Presence of the thing that is there least, around 0 and below for one that is missing; NaN
    where nothing is compared. Pictures of one prompt compare by it."""
    verdict: str = ""
    """`2 of 2`, or what is missing; empty where the base's settings know no threshold."""


@dataclass(frozen=True, kw_only=True)
class GenerationEnded(Event):
    """Last event of a request; `sheet` is the contact sheet's path for more than one picture."""

    kind: ClassVar[str] = "generation_ended"
    request: str
    outcome: Literal["finished", "cancelled", "failed"]
    sheet: str = ""
    message: str = ""
    remedy: str = ""


_NESTED: dict[tuple[str, str], type] = {
    ("run_started", "phases"): PhasePlan,
    ("run_started", "concepts"): ConceptInfo,
    ("attention", "maps"): TokenMap,
}


_KINDS: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str}
"""What a field of that annotation may hold; a viewer must be able to rely on it."""


def to_line(event: Event) -> str:
    """One JSON object on one line, without the newline. Not-a-number becomes null."""
    record: dict[str, Any] = {"kind": event.kind}
    for field in dataclasses.fields(event):
        value: Any = getattr(event, field.name)
        if (event.kind, field.name) in _NESTED:
            value = [vars(item) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            value = None
        record[field.name] = value
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def from_line(line: str | bytes) -> Event | None:
    """The event of one line; None for a kind this version does not know.

    Raises UserError for a line that is no event at all, such as the torn last line of a log.
    """
    try:
        record = plain_values(json.loads(line))
        cls = EVENTS.get(record["kind"])
        if cls is None:
            return None
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in record:
                continue
            value: Any = record[field.name]
            nested = _NESTED.get((cls.kind, field.name))
            if nested is not None:
                value = tuple(nested(**item) for item in value)
            elif isinstance(value, list):
                value = tuple(cast(list[Any], value))
            elif value is None:
                value = math.nan
            kinds = _KINDS.get(str(field.type))
            if kinds is not None and not isinstance(value, kinds):
                raise TypeError(f"{field.name} cannot be {type(value).__name__}")
            values[field.name] = value
        return cls(**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("a line of the event log is damaged", "the rest is still read") from error


def pack_map(values: bytes) -> str:
    """Base64 of a row-major uint8 map."""
    return base64.b64encode(values).decode("ascii")


def unpack_map(text: str) -> bytes:
    """Row-major uint8 values of a packed map."""
    return base64.b64decode(text)
