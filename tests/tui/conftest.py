"""A home of its own for every test of the terminal application."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A coroutine drives the application, which takes about a second."""
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def bas_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $BAS_HOME and an environment without a terminal's habits."""
    for variable in ("NO_COLOR", "SSH_CONNECTION", "TMUX", "COLORTERM", "BAS_ASCII"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "home"
