"""Moves a loaded family to another device or into another precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import nn

from engine.families.contract import Family
from engine.families.devices import autocast

Item = TypeVar("Item")


def place(family: Family, device: torch.device, dtype: torch.dtype) -> None:
    """Move everything to the device; the networks compute in `dtype` afterwards.

    The autoencoder stays in fp32, and so do the learned rows, which the encoders round themselves.
    """
    embeddings = family.text.embeddings()
    rows = [
        (embedding, name, getattr(embedding, name).detach().clone())
        for embedding in embeddings
        for name in ("placeholder_rows", "word_rows")
    ]
    for network in family.targets.networks.values():
        network.to(device=device, dtype=dtype)
    for embedding, name, values in rows:
        setattr(embedding, name, nn.Parameter(values.to(device), requires_grad=False))
    family.codec.move(device)
    family.device = device


def computes_in_half(family: Family) -> bool:
    """Whether the networks' weights are kept in half precision."""
    return next(iter(family.targets.weights().values())).dtype != torch.float32


def computing(family: Family, precision: str) -> AbstractContextManager[object]:
    """Around everything that runs the networks: mixed precision over fp32 weights.

    Weights in half precision compute in it by themselves; autocast would only add casts.
    """
    if computes_in_half(family):
        return torch.autocast(family.device.type, enabled=False)
    return autocast(family.device, precision)


def each_computing(items: Iterator[Item], family: Family, precision: str) -> Iterator[Item]:
    """The same items, each made within `computing`.

    Not around the yields: the caller's code between them would run in half precision, too.
    """
    while True:
        with computing(family, precision):
            item = next(items, None)
        if item is None:
            return
        yield item
