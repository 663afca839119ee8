"""A tiny scene and tiny runs for the engine's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.families.loading import load_folder
from engine.families.stable_diffusion import StableDiffusion
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene

FAST = {
    "preview.every": 0,
    "preview.steps": 2,
    "checkpoint_minutes": 0,
    "loss.prior_images": 2,
    "loss.prior_steps": 2,
    "phase1.learning_rate": 1e-2,
    "phase2.learning_rate": 1e-3,
}


@pytest.fixture(autouse=True)
def bas_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def scene() -> Scene:
    """Two coloured blocks on a gradient, 64 px."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 2] = np.arange(64)[None, :] * 3
    left, right = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    left[10:40, 6:28], right[24:58, 34:60] = True, True
    image[left], image[right] = (220, 40, 40), (40, 200, 60)
    return Scene(
        image=image, concepts=(SceneConcept("teapot", left), SceneConcept("penguin", right))
    )


@pytest.fixture
def fresh_family(tiny_pipeline: Path) -> Iterator[Callable[[], StableDiffusion]]:
    """Loads the tiny pipeline anew: training changes a family in place."""

    def load() -> StableDiffusion:
        return load_folder(tiny_pipeline, device=torch.device("cpu"))

    yield load
