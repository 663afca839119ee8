"""Runs with a result: a tiny one, and one of the embedded model that has really learned."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import api
from engine.core.settings import build_config
from engine.models.facts import recipe_settings
from engine.pocket import demo_scene
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from engine.scenes.scene import Scene, save_scene
from engine.training.loop import train
from tests.engine_fixtures import FAST, bas_home, two_blocks

__all__ = ["bas_home", "one_thread", "pocket_run", "tiny_run"]

TINY = FAST | {
    "phase1.steps": 2,
    "phase2.steps": 2,
    "sampling.steps": 2,
    "loss.prior_weight": 0,
}
POCKET = {
    "preview.every": 0,
    "phase1.steps": 12,
    "phase1.learning_rate": 2e-2,
    "phase2.steps": 24,
    "phase2.learning_rate": 3e-4,
    "batch_size": 2,
    "precision": "fp32",
    "sampling.steps": 6,
}
"""Enough for pictures of other things than the base model's, in ten seconds."""


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models are faster so, and their pictures equal to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train_run(
    run: RunDir, base: str, scene: Scene, settings: Mapping[str, Any], words: Sequence[str]
) -> RunDir:
    """A finished run of these settings."""
    loaded = api.load_base(base, "cpu")
    entries = tuple(
        ConceptEntry(token=f"<asset{index}>", name=name, initializer="")
        for index, name in enumerate(words)
    )
    manifest = Manifest(
        name=run.name, created=1.0, base=base, scene_source="", concepts=entries,
        settings=dict(settings), base_hash=loaded.base_hash,
    )  # fmt: skip
    write_manifest(run, manifest)
    config = build_config(settings)
    named = [
        concept._replace(name=name) for concept, name in zip(scene.concepts, words, strict=True)
    ]
    scene = dataclasses.replace(scene, concepts=tuple(named))
    save_scene(scene, run.scene)
    for _ in train(loaded.family, scene, config, run=run, base=base, base_hash=loaded.base_hash):
        pass
    return run


@pytest.fixture(scope="package")
def trained_tiny_run(
    tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None
) -> RunDir:
    """Four steps of the tiny model, never changed; the things are a teapot and `zorbl`."""
    del one_thread
    folder = tmp_path_factory.mktemp("tiny-run")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BAS_HOME", str(folder))
        run = RunDir(folder / "runs" / "kitchen-0102-030405")
        return train_run(run, str(tiny_pipeline), two_blocks(), TINY, ["teapot", "zorbl"])


@pytest.fixture
def tiny_run(trained_tiny_run: RunDir, bas_home: Path) -> RunDir:
    """A copy of the tiny run, to do with as one likes."""
    place = bas_home / "runs" / trained_tiny_run.name
    shutil.copytree(trained_tiny_run.path, place)
    return RunDir(place)


@pytest.fixture(scope="package")
def pocket_run(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> RunDir:
    """The embedded model after a short training on a demo scene."""
    del one_thread
    folder = tmp_path_factory.mktemp("pocket")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BAS_HOME", str(folder))
        picture, masks = demo_scene("rocket_cactus")
        scene = api.load_scene(picture, list(masks.values()))
        settings = recipe_settings("pocket") | POCKET
        return train_run(RunDir(folder / "runs" / "demo"), "pocket", scene, settings, list(masks))
