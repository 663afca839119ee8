"""A home of its own, a small scene, and a host that needs no model."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bas_tui.client import create_run, host_process, resident
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.liveness import host_pid
from engine.scenes.scene import Scene, SceneConcept

HERE = Path(__file__).parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty $BAS_HOME; hosts still alive at the end of the test are ended."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BAS_HOME", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    yield folder
    for run in list_runs():
        pid = host_pid(run)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it may end meanwhile
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def scene() -> Scene:
    """Two concepts in a 64x64 picture."""
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[0, 4:30, 4:30] = True
    masks[1, 34:60, 34:60] = True
    concepts = tuple(map(SceneConcept, ("teapot", "penguin"), masks))
    return Scene(image=image, concepts=concepts)


@pytest.fixture
def run(home: Path, scene: Scene) -> RunDir:
    """A fresh run folder."""
    del home
    return create_run(scene, base="pocket", name="r", scene_source="desk.jpg")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the fake hosts in the place of `python -m engine`; keywords become FAKE_* variables."""

    def command(*arguments: str) -> list[str]:
        script = "fake_host.py" if arguments[0] == "run" else "fake_generator.py"
        return [sys.executable, str(HERE / script), *arguments]

    monkeypatch.setattr(host_process, "host_command", command)
    monkeypatch.setattr(resident, "host_command", command)

    def set_up(**behaviour: object) -> None:
        for name in ("steps", "delay", "mode"):
            monkeypatch.delenv(f"FAKE_{name.upper()}", raising=False)
        for name, value in behaviour.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", str(value))

    set_up()
    return set_up
