"""The two phases as data: what is trained, for which steps, with which optimiser."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn, optim

from engine.adapters.contract import Adapter
from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.core.extras import need
from engine.core.method_config import OptimizerConfig
from engine.families.contract import Family
from engine.families.quiet import first_line
from engine.runs.events import PhasePlan


def plan_phases(config: TrainConfig) -> tuple[PhasePlan, ...]:
    """The phases that have steps; steps count from 1."""
    plans: list[PhasePlan] = []
    first = 1
    for number, steps, rate in (
        (1, config.phase1.steps, config.phase1.learning_rate),
        (2, config.phase2.steps, config.phase2.rate),
    ):
        if steps:
            last = first + steps - 1
            plans.append(PhasePlan(number=number, first=first, last=last, learning_rate=rate))
            first = last + 1
    return tuple(plans)


def phase_of(step: int, plans: tuple[PhasePlan, ...]) -> PhasePlan:
    """The phase that a step belongs to."""
    return next(plan for plan in plans if plan.first <= step <= plan.last)


def row_parameters(family: Family, *, words: bool) -> dict[str, nn.Parameter]:
    """The placeholder rows of every text encoder, and with `words` the prompts' other words.

    The first encoder's are `placeholder_rows` and `word_rows`, the second's end in `_2`.
    """
    named: dict[str, nn.Parameter] = {}
    for index, embedding in enumerate(family.text.embeddings()):
        ending = f"_{index + 1}" if index else ""
        named[f"placeholder_rows{ending}"] = embedding.placeholder_rows
        if words:
            named[f"word_rows{ending}"] = embedding.word_rows
    return named


def phase_parameters(family: Family, adapter: Adapter, phase: int) -> dict[str, nn.Parameter]:
    """Named parameters of a phase (paper, section 3.1); the token rows come first.

    Phase 1: the new rows alone. Phase 2: the rows, the words of the training prompts where the
    text encoder itself is trained, and the adapter's weights.
    """
    if phase == 1:
        return row_parameters(family, words=False)
    return row_parameters(family, words=adapter.trains_words) | adapter.parameters()


def select_parameters(family: Family, named: dict[str, nn.Parameter]) -> None:
    """Let gradients flow to these parameters and to no others of the family."""
    for network in family.targets.networks.values():
        network.requires_grad_(False)
    for parameter in named.values():
        parameter.requires_grad_(True)


def make_optimizer(
    parameters: dict[str, nn.Parameter],
    learning_rate: float,
    config: OptimizerConfig,
    *,
    phase: int = 1,
) -> optim.Optimizer:
    """A fresh AdamW; the fused kernel is an exact saving (11 times cheaper on a CPU).

    `adamw8bit` serves phase 2 only: the rows of phase 1 are few. Raises UserError where
    bitsandbytes is not installed or does not load on this platform.
    """
    settings: dict[str, Any] = {
        "lr": learning_rate,
        "betas": (config.beta1, config.beta2),
        "eps": config.epsilon,
        "weight_decay": config.weight_decay,
    }
    trained = list(parameters.values())
    if config.kind == "adamw8bit" and phase == 2:
        return _eight_bit()(trained, **settings)
    return optim.AdamW(trained, fused=True, **settings)


def _eight_bit() -> Callable[..., optim.Optimizer]:
    """bitsandbytes' AdamW, whose moments are quantised block by block (arXiv 2110.02861)."""
    need("bitsandbytes", "8bit", "optimizer.kind=adamw8bit")
    # Some of its kernels are optional, and it says so at every import.
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        optimizers: Any = import_module("bitsandbytes.optim")
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"bitsandbytes does not load on this machine ({first_line(error)})",
            "train with --set optimizer.kind=adamw",
        ) from error
    finally:
        logger.setLevel(level)
    return optimizers.AdamW8bit
