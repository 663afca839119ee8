"""The paper's method, its baselines and its ablations, as settings of one and the same loop.

Paper sections 4.1 (baselines, each adapted to one masked picture by cut-outs on plain
backgrounds) and 4.2 (ablations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.core.errors import UserError
from engine.core.settings import build_config

CUTOUTS: dict[str, Any] = {
    "data.cutouts": True,
    "loss.masked": False,
    "loss.attention_weight": 0.0,
    "data.compose": 0.0,
    "data.erase": False,
}
"""What the three baselines share: whole pictures without a mask, so without masks in the losses."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A named way to train. All methods take the same number of optimiser steps."""

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: Literal["both phases", "phase 1 only", "phase 2 only"] = "both phases"
    """Where the steps of both phases go."""
    rate_factor: float = 1.0
    """Times the recipe's phase-2 learning rate."""


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(name="break-a-scene", title="Break-A-Scene (ours)"),
        Method(
            name="ti-m",
            title="Textual Inversion on cut-outs: tokens only",
            settings=CUTOUTS,
            steps="phase 1 only",
        ),
        Method(
            name="db-m",
            title="DreamBooth on cut-outs: tokens and all weights together",
            settings=CUTOUTS,
            steps="phase 2 only",
        ),
        Method(
            name="cd-m",
            title="Custom Diffusion on cut-outs: tokens, cross-attention keys and values",
            settings=CUTOUTS | {"phase2.train": "cross-attention"},
            steps="phase 2 only",
            # Custom Diffusion trains at 1e-5 where DreamBooth trains at 2e-6.
            rate_factor=5.0,
        ),
        Method(name="no-phase1", title="ours without phase 1", steps="phase 2 only"),
        Method(
            name="no-masked-loss",
            title="ours without the masked diffusion loss",
            settings={"loss.masked": False},
        ),
        Method(
            name="no-attention-loss",
            title="ours without the cross-attention loss",
            settings={"loss.attention_weight": 0.0},
        ),
        Method(
            name="no-union-sampling",
            title="ours without union sampling",
            settings={"data.union_sampling": False},
        ),
    )
}


def method_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted settings of a method on top of a recipe's `settings`; raises UserError.

    The total number of steps stays that of the recipe, so that methods compare.
    """
    method = METHODS.get(name)
    if method is None:
        raise UserError(f"there is no method {name!r}", f"use one of {', '.join(METHODS)}")
    config = build_config(settings)
    result = dict(settings) | dict(method.settings)
    if method.steps != "both phases":
        first, second = config.total_steps, 0
        if method.steps == "phase 2 only":
            first, second = second, first
        result |= {"phase1.steps": first, "phase2.steps": second}
    if method.rate_factor != 1.0:
        result["phase2.learning_rate"] = config.phase2.rate * method.rate_factor
    return result
