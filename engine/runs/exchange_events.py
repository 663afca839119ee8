"""What exports and imports tell, in the same format as every other event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.runs.events import Event


@dataclass(frozen=True, kw_only=True)
class EnergyKept(Event):
    """How much of a run's change thin matrices of each rank keep, for one kind of layers."""

    kind: ClassVar[str] = "energy_kept"
    part: str
    """`UNet linear layers`, `UNet convolutions`, `text encoder`, or `all layers`."""
    share: float
    """Of the whole squared change, 0..1."""
    ranks: tuple[int, ...]
    kept: tuple[float, ...]
    """Share of the part's squared change, 0..1, for each rank."""


@dataclass(frozen=True, kw_only=True)
class AgreementMeasured(Event):
    """Pictures drawn with the run and with its exported files, same seeds."""

    kind: ClassVar[str] = "agreement"
    psnr: tuple[float, ...]
    """Of each pair, in dB; 100 for equal pictures."""
    sheet: str
    """The pairs one below the other; absolute path."""


@dataclass(frozen=True, kw_only=True)
class ExportSaved(Event):
    """One export is complete in its folder."""

    kind: ClassVar[str] = "export_saved"
    target: str
    folder: str
    """Absolute path; its README.txt says what goes where."""
    bytes: int


@dataclass(frozen=True, kw_only=True)
class ExportEnded(Event):
    """Last event of an export: where everything lies, and the things' words there."""

    kind: ClassVar[str] = "export_ended"
    outcome: Literal["finished", "failed"]
    folder: str = ""
    names: tuple[str, ...] = ()
    """The concepts' own names."""
    words: tuple[str, ...] = ()
    """Their words in other programs, in the same order."""
    message: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class PackOpened(Event):
    """What a concept pack says of itself, free of control characters."""

    kind: ClassVar[str] = "pack_opened"
    title: str
    base: str
    base_sha256: str
    names: tuple[str, ...]
    """The concepts' names."""
    method: str
    step: int
    rank: int
    """Of a change that was cut to a LoRA; 0: whole."""
    bytes: int
    created: float
    licence: str
    base_licence: str
    prompts: tuple[str, ...]
    preview: str = ""
    """A PNG's path; empty where the pack has no picture."""


@dataclass(frozen=True, kw_only=True)
class ImportEnded(Event):
    """Last event of an import: the run that was made."""

    kind: ClassVar[str] = "import_ended"
    outcome: Literal["finished", "failed"]
    run: str = ""
    """Absolute path of the run folder; empty where only a look was asked for."""
    message: str = ""
    remedy: str = ""
