"""What a family's loader is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL

from engine.families.single_file import load_own_vae


class LoadRequest(NamedTuple):
    """The argument of a loader (`FamilyKind.loader`), which returns the family."""

    path: Path
    """A diffusers folder or a single file, already found to be of the loader's kind."""
    name: str
    device: torch.device
    dtype: torch.dtype
    """Of the denoising network and the text encoders."""
    variants: tuple[str, ...]
    """Precisions of the weight files in the order they are wanted (`load_part`)."""
    prediction: str = ""
    """What the person says that the model predicts; empty: what it says itself."""
    own_vae: Path | None = None
    """An autoencoder in place of the model's own."""
    mapped: bool = False
    """Weights are to be read once, not computed with: they may stay in their files, in the files'
    own precision instead of `dtype`. A loader may ignore it."""

    def vae(self, own: Callable[[], AutoencoderKL]) -> AutoencoderKL:
        """The autoencoder that the person names, else the model's own."""
        return own() if self.own_vae is None else load_own_vae(self.own_vae)
