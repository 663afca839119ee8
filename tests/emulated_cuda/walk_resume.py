"""Stopped and resumed on the emulated device in half precision: the whole run, and its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import api
from engine.core.settings import build_config
from engine.families.loading import LoadedBase
from engine.files.weights_io import load_tensors
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import StepDone
from engine.runs.folder import RunDir
from engine.scenes.scene import Scene
from tests.emulated_cuda.emulate import emulated_cuda
from tests.engine_fixtures import bas_home, scene  # noqa: F401
from tests.gpu.walks import SETTINGS, run_or_part


@pytest.mark.parametrize(
    "model, trained, precision",
    [
        ("tiny_pipeline", "all", "bf16"),
        ("tiny_pipeline", "lora", "fp16"),
        ("tiny_sdxl", "lora", "bf16"),
        ("tiny_pipeline", "all", "fp16"),
    ],
)
def test_a_resumed_run_is_the_whole_run(
    request: pytest.FixtureRequest,
    scene: Scene,  # noqa: F811
    tmp_path: Path,
    model: str,
    trained: str,
    precision: str,
) -> None:
    """At the paper's rate of 2e-6, which is lost in half-precision weights without masters."""
    folder = str(request.getfixturevalue(model))
    settings = {
        "phase2.train": trained, "precision": precision, "phase2.steps": 3, "lora.rank": 2,
        "phase2.learning_rate": 2e-6, "preview.every": 0,
    }  # fmt: skip
    config = build_config(SETTINGS, settings)

    def run(name: str, stop: int = 0) -> tuple[LoadedBase, list[float]]:
        return run_or_part(folder, scene, tmp_path / name, "cuda", settings, stop)

    with emulated_cuda():
        whole_base, whole = run("whole")
        _, first = run("parts", stop=4)
        base, second = run("parts")
        assert first + second == whole
        pictures = [
            next(iter(api.draw(one, ["a photo of <asset0>"], seeds=[1], config=config)))
            for one in (whole_base, base)
        ]
        assert np.array_equal(pictures[0], pictures[1])
    learned = [
        value
        for file in RunDir(tmp_path / "whole").concepts.rglob("*.safetensors")
        for name, value in load_tensors(file).items()
        if "row" not in name
    ]
    assert sum(bool(value.any()) for value in learned) > len(learned) / 3


def test_another_part_may_follow(
    tiny_pipeline: Path, scene: Scene, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """What moved before and moves no more keeps its change, in what computes and in the result."""
    everything = {
        "phase1.steps": 1, "phase2.steps": 2, "phase2.learning_rate": 1e-2, "precision": "bf16",
        "preview.every": 0,
    }  # fmt: skip
    run, commands = RunDir(tmp_path / "run"), CommandQueue()
    with emulated_cuda():
        base = api.load_base(str(tiny_pipeline), device="cuda")
        config = build_config(SETTINGS, everything)
        for event in api.train(base.family, scene, config, run=run, commands=commands):
            if isinstance(event, StepDone) and event.step == 2:
                commands.post(Command(word="stop"))
        moved = {n: w.float().cpu() for n, w in base.family.targets.weights().items()}
        later = api.load_base(str(tiny_pipeline), device="cuda")
        config = build_config(SETTINGS, everything | {"phase2.train": "cross-attention"})
        trained = set(later.family.targets.part("cross-attention"))
        for _ in api.train(later.family, scene, config, run=run):
            pass
        for name, weight in later.family.targets.weights().items():
            assert torch.equal(weight.float().cpu(), moved[name]) == (name not in trained), name
