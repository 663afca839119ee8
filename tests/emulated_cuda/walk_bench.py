"""`make bench-gpu` on the emulated device: every line of its tables is measured."""

from __future__ import annotations

import re
import sys

import pytest

from tests.bench import gpu
from tests.emulated_cuda.emulate import emulated_cuda


def test_every_figure_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAS_HOME", "unused")
    words = ["--base", "small", "--steps", "2", "--sampling-steps", "1", "--precision", "bf16"]
    monkeypatch.setattr(sys, "argv", ["gpu", *words])
    with emulated_cuda():
        gpu.main()
    said = capsys.readouterr().out
    assert "Emulated GPU, 80 GiB" in said and "upload, pinned" in said
    rows = [line for line in said.splitlines() if re.match(r"\| (lora|all|\d) \|", line)]
    assert len(rows) == 4
    for row in rows:
        figures = [float(figure) for figure in re.findall(r"\d+\.\d+", row)]
        assert figures and all(figure > 0 for figure in figures), row
