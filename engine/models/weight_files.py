"""Which of a component's files hold its weights: precisions, shards, roles, formats."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.core.errors import UserError
from engine.models.headers import DAMAGED, SUFFIX, is_pickle

FULL = ("", "fp32", "fp16", "bf16", "non_ema")
"""Variants in the order in which training of the weights themselves wants them."""
HALF = ("fp16", "bf16", "", "fp32", "non_ema")
"""And where the weights stay frozen: half the download."""


class Weights(NamedTuple):
    """The safetensors files of one component, as names inside the component's folder."""

    files: tuple[str, ...]
    """In the order of their shards."""
    shard_index: str
    """The JSON file that says which shard holds what; empty for a single file."""
    variant: str
    """`fp16` and the like where the names carry it, else empty."""


def choose_weights(
    names: Collection[str], stem: str, variants: Sequence[str] = FULL
) -> Weights | None:
    """The weights among file names: the first variant that is complete, whole before sharded.

    None when there is no complete set of safetensors files.
    """
    for variant in variants:
        dotted = f".{variant}" if variant else ""
        whole = f"{stem}{dotted}{SUFFIX}"
        if whole in names:
            return Weights((whole,), "", variant)
        index = f"{stem}{SUFFIX}.index{dotted}.json"
        shard = re.compile(
            rf"{stem}(?:{re.escape(dotted)}-\d+-of-(\d+)|-\d+-of-(\d+){re.escape(dotted)})"
            rf"{re.escape(SUFFIX)}"
        )
        shards = [(match, name) for name in sorted(names) if (match := shard.fullmatch(name))]
        if index in names and shards:
            count = int(shards[0][0].group(1) or shards[0][0].group(2))
            if len(shards) == count:
                return Weights(tuple(name for _, name in shards), index, variant)
    return None


def folder_weights(
    folder: Path, component: str, stem: str, variants: Sequence[str] = FULL
) -> Weights:
    """The weights of a component in a diffusers folder; raises UserError without any."""
    part = folder / component
    names = {path.name for path in part.iterdir() if path.is_file()}
    found = choose_weights(names, stem, variants)
    if found is not None:
        return found
    if any(re.search(r"-\d+-of-\d+", name) for name in names):
        raise UserError(f"{part} lacks some of its weights' files", DAMAGED)
    if any(name.endswith(SUFFIX) and stem in name for name in names):
        raise UserError(
            f"{part} holds no complete set of weights under a known name ({_example(names)})",
            f"download it again, or name the file {stem}{SUFFIX}",
        )
    if any(is_pickle(Path(name)) for name in names):
        raise UserError(
            f"{part} holds pickled weights only, which are never opened",
            "convert them to safetensors, or take a copy of the model that has them",
        )
    raise UserError(f"{part} holds no weights", DAMAGED)


def _example(names: Collection[str]) -> str:
    return min(name for name in names if name.endswith(SUFFIX))
