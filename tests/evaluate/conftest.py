"""A home of its own, and evaluations made without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.evaluate import store
from engine.evaluate.job_plan import EvaluationDir, Plan, SceneSource, create_evaluation, make_plan
from engine.evaluate.suites import Suite, read_suite
from engine.scenes.scene import Scene, SceneConcept

TINY_SUITE = """
name = "tiny"
title = "Random weights"
base = "pocket"
scorers = ["copy"]
images = 1
threads = 1
[[prompts]]
text = "a photo of {tokens} in the snow"
place = "snow"
[[prompts]]
text = "a photo of {tokens} at the beach"
place = "beach"
[sizes.smoke]
scenes = 2
prompts = 1
methods = ["break-a-scene", "ti-m"]
[sizes.smoke.settings]
batch_size = 1
[sizes.smoke.settings.phase1]
steps = 2
[sizes.smoke.settings.phase2]
steps = 2
[sizes.smoke.settings.loss]
prior_weight = 0.0
[sizes.smoke.settings.data]
variants = 2
[sizes.smoke.settings.sampling]
steps = 2
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $BAS_HOME without a hub."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BAS_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A suite of two prompts whose only scorer needs no network."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE)
    return read_suite(str(path))


@pytest.fixture(scope="session")
def hub_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny hub scorers with random weights."""
    from tests.evaluate.tiny_models import build_hub_models

    return build_hub_models(tmp_path_factory.mktemp("hub"))


def make_scene(seed: int, side: int = 64) -> Scene:
    """A random picture with two things."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    masks = np.zeros((2, side, side), bool)
    masks[0, 4:30, 4:30] = True
    masks[1, 34:60, 34:60] = True
    concepts = (SceneConcept("teapot", masks[0]), SceneConcept("toy-bear", masks[1]))
    return Scene(image=pixels, concepts=concepts)


def scenes(count: int = 2) -> list[SceneSource]:
    return [SceneSource(f"scene{index}", make_scene(index)) for index in range(count)]


def plan_of(suite: Suite, base: str = "pocket", **changes: object) -> Plan:
    values: dict[str, object] = {"scenes": ["scene0", "scene1"], "base": base, **changes}
    return make_plan(suite, "smoke", **values)  # type: ignore[arg-type]


Scored = Callable[..., EvaluationDir]


@pytest.fixture
def scored(home: Path, suite: Suite) -> Scored:
    """An evaluation whose pictures and scores are written by the test."""
    del home

    def make(
        score: Callable[[str, str, str, int], float], *, name: str = "made", found: bool = True
    ) -> EvaluationDir:
        plan = plan_of(suite)
        folder = create_evaluation(name, plan, scenes(), command="bas eval run tiny")
        store.create(folder.store, plan.scenes, plan.methods)
        for job in store.jobs(folder.store):
            store.add_result(folder.store, job.id, result(folder, job, score, found))
        return folder

    return make


def result(
    folder: EvaluationDir,
    job: store.Job,
    score: Callable[[str, str, str, int], float],
    found: bool = True,
) -> dict[str, object]:
    """What a job of two subsets writes; `score(scene, method, axis, number)`."""
    pictures = []
    rng = np.random.default_rng(job.id)
    for number, subset in enumerate([[0], [0, 1]]):
        path = folder.run(job.scene, job.method).pictures / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
        measures = [
            {"scorer": "s", "axis": axis, "concept": concept, "found": found,
             "value": score(job.scene, job.method, axis, number)}
            for axis, concepts in (("prompt", [-1]), ("identity", subset), ("copy", [-1]))
            for concept in concepts
        ]  # fmt: skip
        pictures.append(
            {
                "number": number, "subset": subset, "prompt": 0, "image": 0,
                "words": "a photo of teapot in the snow", "seed": number,
                "path": str(path.relative_to(folder.path)), "measures": measures,
            }
        )  # fmt: skip
    record = {"seconds": 60.0, "facts": {"device": "cpu"}, "pictures": pictures}
    return json.loads(json.dumps(record))
