"""Versions of the packages that a result depends on, read without importing them."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("bas-tui", "torch", "diffusers", "transformers", "accelerate")
"""What every run depends on."""


def versions(*further: str) -> dict[str, str]:
    """Version by package, Python's first; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *further):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
