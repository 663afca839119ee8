"""Paths as people say them."""

from __future__ import annotations

from pathlib import Path


def short_path(path: Path) -> str:
    """A path from the home folder on, where it lies there."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
