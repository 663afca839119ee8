"""Moves a loaded family to another device or into another precision."""

from __future__ import annotations

import torch

from engine.families.contract import Family


def place(family: Family, device: torch.device, dtype: torch.dtype) -> None:
    """Move everything to the device; the networks compute in `dtype` afterwards.

    The autoencoder stays in fp32, and so do the learned rows, which the encoders round themselves.
    """
    for network in family.targets.networks.values():
        network.to(device=device, dtype=dtype)
    for embedding in family.text.embeddings():
        embedding.placeholder_rows.data = embedding.placeholder_rows.data.float()
        embedding.word_rows.data = embedding.word_rows.data.float()
    family.codec.move(device)
    family.device = device
