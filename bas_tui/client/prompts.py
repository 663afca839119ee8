"""Checks a prompt against a run's tokens before any model is loaded."""

from __future__ import annotations

import difflib
import re

from engine.errors import UserError
from engine.run_dir import ConceptEntry, RunDir, describe, read_manifest

TOKEN = re.compile(r"<([^<>\s]*)>")


def token_names(concepts: tuple[ConceptEntry, ...]) -> list[str]:
    """Every token a prompt may use: `<asset0>` ... and `<name>` ..."""
    tokens = [concept.token for concept in concepts]
    return tokens + [f"<{concept.name}>" for concept in concepts]


def check_prompt(run: RunDir, prompt: str) -> None:
    """Raises UserError for an empty prompt or an unknown token; the error lists the known ones."""
    if not prompt.strip():
        raise UserError("the prompt is empty", 'write one like "a photo of <asset0> in snow"')
    concepts = read_manifest(run).concepts
    known = token_names(concepts)
    for match in TOKEN.finditer(prompt):
        if match.group() in known:
            continue
        pairs = ", ".join(f"{concept.token} (<{concept.name}>)" for concept in concepts)
        close = difflib.get_close_matches(match.group(), known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"{run.name} has no token {match.group()}", f"{hint}it knows {pairs or 'none'}"
        )


def check_learned(run: RunDir) -> None:
    """Raises UserError while a run has neither a result nor a checkpoint to draw from."""
    if any(folder.is_dir() and any(folder.iterdir()) for folder in (run.concepts, run.checkpoints)):
        return
    state = describe(run).state
    remedy = (
        f"wait for it: bas watch {run.name}"
        if state in ("training", "paused")
        else f"go on with it: bas resume {run.name}"
    )
    raise UserError(f"{run.name} ({state}) has learned nothing yet", remedy)
