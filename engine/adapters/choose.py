"""Which adapter a run's settings ask for."""

from __future__ import annotations

import torch

from engine.adapters.contract import Adapter
from engine.adapters.full import FullChange
from engine.adapters.lora import LowRankChange
from engine.core.method_config import LoraConfig
from engine.families.contract import Family


def choose_adapter(
    family: Family, train: str, lora: LoraConfig, generator: torch.Generator
) -> Adapter:
    """The adapter of `phase2.train`; `generator` starts a low-rank one."""
    if train != "lora":
        return FullChange(family, train)
    layers = family.targets.layers(lora.layers, text_encoder=lora.text_encoder)
    return LowRankChange.fresh(layers, lora.rank, generator)
