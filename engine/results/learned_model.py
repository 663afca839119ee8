"""A base model with the concepts of a run in it: what draws, edits and is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch

from engine.adapters.lora import LowRankChange
from engine.core.config import TrainConfig
from engine.core.settings import build_config
from engine.families.contract import Family
from engine.families.devices import choose_precision
from engine.families.loading import load_for
from engine.families.placement import computing, place
from engine.models.facts import prefers_half
from engine.results.additions.guests import read_guests
from engine.results.concepts import load_concepts
from engine.runs.events import Event
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, read_manifest
from engine.runs.requests import NOTHING, Additions

CPU = torch.device("cpu")


class LearnedModel(NamedTuple):
    """A loaded run."""

    family: Family
    config: TrainConfig
    manifest: Manifest
    base_hash: str
    change: LowRankChange | None
    """The low-rank change where the run has one: its `strength` may be set anew."""
    concepts: tuple[ConceptEntry, ...]
    """The run's things, and those of other runs that were added."""
    words: Mapping[str, str]
    """Words that embeddings brought, and what stands for them: `<style>` -> `<asset2> <asset3>`."""

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Around everything that runs the networks (`engine.families.placement.computing`)."""
        precision = choose_precision(self.config.precision, self.family.device)
        with computing(self.family, precision):
            yield


def load_learned(
    run: RunDir,
    *,
    device: torch.device,
    report: Callable[[Event], None],
    strength: float = 1.0,
    additions: Additions = NOTHING,
) -> LearnedModel:
    """The model of a run for drawing, its weight change added `strength` times.

    On an accelerator the networks are kept in half precision. Raises UserError where the run has
    no concepts yet, its base model cannot be loaded, or an addition does not fit it.
    """
    manifest = read_manifest(run)
    config = build_config(manifest.settings)
    precision = choose_precision(config.precision, device)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    # A full change is added in fp32 and rounded once: added to rounded weights it would be lost.
    rounded = prefers_half(config) and not additions
    first = device if rounded or device.type == "cpu" else CPU
    loaded = load_for(manifest.base, config, device=first, precision=precision, report=report)
    family = loaded.family
    guests = read_guests(additions, manifest, family, loaded.base_hash)
    change = load_concepts(
        run.concepts,
        family,
        base_hash=loaded.base_hash,
        strength=strength,
        more_rows=guests.rows,
    )
    changes = [*([change] if change else []), *guests.add_changes(family)]
    if first != device:
        place(family, device, half)
        for low_rank in changes:
            low_rank.move(device, half)
    return LearnedModel(
        family, config, manifest, loaded.base_hash, change, guests.concepts, guests.words
    )
