"""What is wrong with a run and what helps: judged from its state, for every front end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bas_tui.run_state import RunState
from engine.core.settings import set_flags
from engine.runs.events import unpack_map
from engine.runs.folder import RunDir

FLAT_MEAN = 0.85
"""Mean of a max-normalised map above which the attention counts as uniform."""
LEAK_LIMIT = 0.5
SETTLE_STEPS = 100
"""Steps (at most a quarter of the run) before a map is judged: every run starts from uniform."""
JUDGED_FRAMES = 5
SLOWER = 5.0
"""By how much a learning rate is divided after a loss that was not a number."""


class Warned(NamedTuple):
    """Something in the numbers a person should know; `token` is empty for the whole run."""

    kind: Literal["nan", "uniform", "leak"]
    message: str
    remedy: str
    token: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure as a person needs it."""

    title: str
    happened: str
    remedy: str
    run: str
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings without which it would fail again, as `--set` takes them."""

    @property
    def command(self) -> str:
        """The command that goes on."""
        return f"bas resume {self.run}{set_flags(self.changes)}"


def warnings_of(state: RunState) -> Iterator[Warned]:
    """What the latest numbers warn of; a warning goes when its cause goes (NaN stays)."""
    if state.nan_step is not None:
        yield Warned(
            "nan",
            f"the loss is not a number since step {state.nan_step}",
            f"stop, then: bas resume {state.run}{set_flags(_slower(state, state.nan_step))}",
        )
    if state.step < min(SETTLE_STEPS, state.total_steps // 4):
        return
    for concept in state.concepts:
        frames = state.attention.get(concept.token, ())[-JUDGED_FRAMES:]
        if len(frames) < JUDGED_FRAMES:
            continue
        label = f"<{concept.name}>"
        if all(_mean(frame.packed) > FLAT_MEAN for frame in frames):
            yield Warned(
                "uniform",
                f"the attention of {label} is still spread over the whole picture",
                "choose a closer --init word, or raise loss.attention_weight",
                concept.token,
            )
        elif (leak := sum(frame.leak for frame in frames) / len(frames)) > LEAK_LIMIT:
            yield Warned(
                "leak",
                f"{leak:.0%} of the attention of {label} lies outside its mask",
                "check the mask, or raise loss.attention_weight",
                concept.token,
            )


def failure_of(run: RunDir, state: RunState, settings: Mapping[str, Any]) -> Failure | None:
    """What to say of a run that failed or whose host is gone; None for any other run.

    `settings` are the manifest's: an advice that is followed already is not given again.
    """
    kept = state.checkpoints[-1].step if len(state.checkpoints) else None
    back = (
        f"Its last checkpoint is of step {kept}; it goes on from there."
        if kept is not None
        else "There is no checkpoint yet; it starts again from step 1."
    )
    if state.status == "interrupted":
        return Failure(
            title=f"The host of {run.name} is gone",
            happened=f"It ended without a last word after step {state.step} of "
            f"{state.total_steps} (killed, out of memory, or the machine went down).",
            remedy=back,
            run=run.name,
        )
    if state.status != "failed" or state.ended is None:
        return None
    ended = state.ended
    remedy, changes = ended.remedy, dict[str, str]()
    words = f"{ended.message} {ended.remedy}".lower()
    if state.nan_step is not None or "not a number" in words:
        failed = state.nan_step or ended.step + 1
        changes = _slower(state, failed)
        plan = state.plan_of(failed)
        title = f"The loss of {run.name} is not a number"
        if plan is not None:
            title += f" in phase {plan.number}"
            remedy = f"Lower the learning rate of phase {plan.number}, {plan.learning_rate:g} now"
    elif "memory" in words:
        title = f"{run.name} ran out of memory"
        if not settings.get("gradient_checkpointing"):
            changes = {"gradient_checkpointing": "true"}
    else:
        title = f"{run.name} failed"
    return Failure(
        title=title,
        happened=f"At step {ended.step} of {state.total_steps}: "
        f"{ended.message or 'no reason was given'}.",
        remedy=" ".join(filter(None, (f"{remedy}." if remedy else "", back))),
        run=run.name,
        changes=changes,
    )


def _slower(state: RunState, step: int) -> dict[str, str]:
    """A lower learning rate for the phase of a step, rounded to one digit."""
    plan = state.plan_of(step)
    if plan is None or not plan.learning_rate > 0 or not math.isfinite(plan.learning_rate):
        return {}
    return {f"phase{plan.number}.learning_rate": f"{float(f'{plan.learning_rate / SLOWER:.0e}'):g}"}


def _mean(packed: str) -> float:
    values = unpack_map(packed)
    return sum(values) / (255 * len(values)) if values else 0.0
