"""A home of its own for every test of the terminal application."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def bas_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $BAS_HOME and an environment without a terminal's habits."""
    for variable in ("NO_COLOR", "SSH_CONNECTION", "TMUX", "COLORTERM", "BAS_ASCII"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "home"
