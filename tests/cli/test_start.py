"""A foreign package `engine` is noticed before anything of it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(path: Path | None) -> subprocess.CompletedProcess[str]:
    """`bas --version`, with a folder before this program's own on the module path."""
    places = [str(path)] if path else []
    return subprocess.run(
        [sys.executable, "-P", "-m", "bas_tui", "--version"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*places, str(ROOT)])},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_a_foreign_engine_costs_one_line(tmp_path: Path, kind: str) -> None:
    if kind == "package":
        (tmp_path / "engine").mkdir()
        (tmp_path / "engine" / "__init__.py").write_text("raise SystemExit('imported')")
    elif kind == "module":
        (tmp_path / "engine.py").write_text("raise SystemExit('imported')")
    else:
        (tmp_path / "engine").mkdir()
    result = start(tmp_path)
    if kind == "folder":  # Without an __init__ it yields to the real package behind it.
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and str(tmp_path) in result.stderr


def test_its_own_engine_is_taken() -> None:
    result = start(None)
    assert result.returncode == 0 and result.stdout.startswith("bas ")
