"""The configurations of the published models, for single files that bring none of their own."""

from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).parent / "configs"
"""Folders `sd1`, `sd2` and `sdxl` in diffusers' layout, and CLIP's merges."""
