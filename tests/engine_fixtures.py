"""A tiny scene and tiny runs for the engine's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.families.stable_diffusion import StableDiffusion, load_folder
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
    return two_blocks()


def two_blocks() -> Scene:
    """A scene of a teapot and a penguin, which are blocks."""
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


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package whose entry points name families, as pip would."""
    from engine.models.kinds import GROUP, kinds

    def install(line: str) -> None:
        facts = tmp_path / "site" / "toy-1.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[{GROUP}]\n{line}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.syspath_prepend(str(Path(__file__).parent / "families"))
        kinds.cache_clear()

    yield install
    monkeypatch.undo()
    kinds.cache_clear()


@pytest.fixture
def toy_folder(tmp_path: Path) -> Path:
    """A folder of the toy family's layout with random weights."""
    from tests.tiny import build_tiny_toy

    return build_tiny_toy(tmp_path / "toy")


@pytest.fixture
def toy_family(toy_folder: Path, register: Callable[[str], None]) -> Path:
    """The folder, with the toy family registered."""
    register("toy = toy_family:KIND")
    return toy_folder
