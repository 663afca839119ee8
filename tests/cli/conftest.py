"""A home of its own, pictures on disk, a runner, and hosts that need no model."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bas_tui.cli.main import app
from bas_tui.client import exchange as exchange_module
from bas_tui.client import host_process, resident
from engine.runs.library import list_runs
from engine.runs.liveness import host_pid

FAKES = Path(__file__).parents[1] / "client"
Bas = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty $BAS_HOME without a hub; hosts still alive at the end of the test are ended."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BAS_HOME", str(folder))
    # The variables are for child processes; this one may have read them long ago.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "200")
    yield folder
    for run in list_runs():
        pid = host_pid(run)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bas(home: Path) -> Bas:
    """Run `bas WORDS` in this process."""
    del home

    def run(*words: str, **options: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], **options)  # type: ignore[arg-type]

    return run


@pytest.fixture
def shell(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bas WORDS` in a process of its own, without a terminal."""
    del home

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bas_tui", *(str(word) for word in words)]
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )

    return run


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with img.png and the masks teapot.png and penguin.png in masks/."""
    folder = tmp_path / "desk"
    (folder / "masks").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "img.png")
    for name, start in (("teapot", 4), ("penguin", 34)):
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[start : start + 26, start : start + 26] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the client tests' fake hosts in the place of `python -m engine`."""

    def command(*arguments: str) -> list[str]:
        script = {
            "run": "fake_host.py", "generate": "fake_generator.py", "exchange": "fake_exchange.py"
        }[arguments[0]]  # fmt: skip
        return [sys.executable, str(FAKES / script), *arguments]

    monkeypatch.setattr(host_process, "host_command", command)
    monkeypatch.setattr(exchange_module, "host_command", command)
    monkeypatch.setattr(resident, "host_command", command)

    def set_up(**behaviour: object) -> None:
        for name in ("steps", "delay", "mode"):
            monkeypatch.delenv(f"FAKE_{name.upper()}", raising=False)
        for name, value in behaviour.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", str(value))

    return set_up
