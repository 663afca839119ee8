"""Scorers by name, made when a job needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from engine.core.errors import UserError
from engine.evaluate.scorers.base import Scorer
from engine.evaluate.suites import SCORERS


class HubModel(NamedTuple):
    """A scorer's model on the hub, and its licence as the hub's page tells it (November 2026)."""

    repository: str
    licence: str


HUB_MODELS: dict[str, HubModel] = {
    "clip": HubModel("openai/clip-vit-large-patch14", "MIT"),
    "dino": HubModel("facebook/dino-vitb16", "Apache-2.0"),
    "maskformer": HubModel("facebook/maskformer-swin-large-coco", "other: read it before use"),
}


def load_scorer(name: str, sources: Mapping[str, str], device: torch.device) -> Scorer:
    """The scorer of that name; `sources` may give a local folder or hub id for each hub model.

    Raises UserError where its package or its weights are missing.
    """
    if name == "copy":
        from engine.evaluate.scorers.copying import CopyScorer

        return CopyScorer()
    if name in ("pocket-prompt", "pocket-identity"):
        from engine.evaluate.scorers.pocket import PocketIdentity, PocketPrompt

        return PocketPrompt() if name == "pocket-prompt" else PocketIdentity()
    where = {key: sources.get(key, model.repository) for key, model in HUB_MODELS.items()}
    if name == "clip":
        from engine.evaluate.scorers.clip import ClipPrompt

        return ClipPrompt(where["clip"], device)
    if name == "dino":
        from engine.evaluate.scorers.dino import DinoIdentity
        from engine.evaluate.scorers.segmenter import Segmenter

        return DinoIdentity(where["dino"], Segmenter(where["maskformer"], device), device)
    raise UserError(f"there is no scorer {name!r}", f"use {', '.join(SCORERS)}")
