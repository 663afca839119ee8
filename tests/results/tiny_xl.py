"""A tiny Stable Diffusion XL that has learned two tokens."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.families.contract import Family
from engine.families.loading import load_folder

WIDTHS = (16, 32)


def tiny_xl(folder: Path) -> Family:
    """The model of `tests.tiny.build_tiny_sdxl` with random rows and two moved words."""
    family = load_folder(folder, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(2, width, generator=generator) for width in WIDTHS]
    family.text.add_tokens(rows, [5, 6])
    with torch.no_grad():
        for embedding in family.text.embeddings():
            embedding.word_rows.add_(1)
    return family
