"""A run's change as a LoRA: exactly what was trained, or the best of a given rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from engine.core.errors import UserError
from engine.models.resolve import Report
from engine.results.exports.learned import (
    Learned,
    change_energy,
    factored_layers,
    part_of,
    rest_of_change,
    trained_layers,
)
from engine.results.exports.low_rank import (
    RANKS,
    Factored,
    LowRank,
    energy_kept,
    smallest_good_rank,
)
from engine.runs.events import Notice, Progress
from engine.runs.exchange_events import EnergyKept
from engine.runs.export_targets import MAX_RANK

LEAST_SHARE = 0.8
"""Below this the things may change; a person is warned."""


class Change(NamedTuple):
    """A change as thin matrices."""

    layers: dict[str, LowRank]
    """Empty where a run trained nothing but its words."""
    rest: dict[str, torch.Tensor]
    """Norms and biases, which no LoRA holds, by their weights' names. They are a hundredth of the
    change and matter all the same."""
    rank: int
    sentence: str
    """For people; empty without layers."""


def factors_of(learned: Learned, rank: int, report: Report, *, pure: bool = False) -> Change:
    """The change of a run; `rank` 0 takes the smallest one that keeps `GOOD_SHARE`.

    Reports what each rank keeps and warns of a small share. A run that trained a LoRA gives just
    that, whatever the rank. `pure`: matrices only.
    """
    trained = trained_layers(learned)
    if trained:
        rank = max(factors.rank for factors in trained.values())
        return Change(trained, {}, rank, f"a LoRA of rank {rank}, just as it was trained")
    if not 0 <= rank <= MAX_RANK:
        raise UserError(f"a LoRA cannot have rank {rank}", f"use 1 to {MAX_RANK}, or auto")

    def on_layer(done: int, total: int) -> None:
        report(Progress(stage="save", done=done, total=total, label="LoRA of the change"))

    parts = factored_layers(learned, rank or MAX_RANK, on_layer)
    if not parts:
        return Change({}, {}, 0, "")
    rank = rank or smallest_good_rank(list(parts.values()))
    rest = {} if pure else rest_of_change(learned, parts)
    kept = _tell(parts, rank, change_energy(learned), report)
    if kept < LEAST_SHARE:
        report(
            Notice(
                level="warning",
                message=f"rank {rank} keeps {kept:.0%} of what was learned",
                remedy="use a larger --rank (auto finds one), or what keeps all: --to pack, "
                "diffusers, or checkpoint for Stable Diffusion",
            )
        )
    layers = {
        layer: LowRank(*(factor.to(torch.float16) for factor in part.factors.cut(rank)))
        for layer, part in parts.items()
    }
    sentence = f"a LoRA of rank {rank} that keeps {kept:.1%} of what was learned"
    return Change(layers, rest, rank, sentence + (", norms and biases" if rest else ""))


def _tell(parts: Mapping[str, Factored], rank: int, energy: float, report: Report) -> float:
    """Report what each rank keeps, by kind of layer; the whole share kept at `rank`."""
    ranks = tuple(sorted({*(known for known in RANKS if known <= rank), rank}))
    kinds: dict[str, list[Factored]] = {}
    for layer, part in parts.items():
        kinds.setdefault(part_of(layer, part.factors.down.ndim == 4), []).append(part)
    everything = list(parts.values())
    for kind, members in (*kinds.items(), ("all layers", everything)):
        report(
            EnergyKept(
                part=kind,
                share=sum(part.total for part in members) / energy,
                ranks=ranks,
                kept=tuple(energy_kept(members, known) for known in ranks),
            )
        )
    return energy_kept(everything, rank) * sum(part.total for part in everything) / energy
