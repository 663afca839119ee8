"""A run on the emulated device, from loading to pictures, held against the same run on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.runs.events import CheckpointSaved, Event, Notice, PreviewSaved, StepDone
from engine.scenes.scene import Scene
from engine.training.optimizer_step import OptimizerStep
from tests.emulated_cuda.emulate import emulated_cuda
from tests.engine_fixtures import bas_home, scene  # noqa: F401
from tests.gpu.walks import close, walk


class Walked(NamedTuple):
    steps: list[StepDone]
    events: list[Event]
    rows: list[float]
    """Norm of the token rows' gradient in each step."""


@pytest.fixture
def take(
    tiny_pipeline: Path, scene: Scene, tmp_path: Path, monkeypatch: Any  # noqa: F811
) -> Callable[..., Walked]:  # fmt: skip
    def walked(device: str, **settings: Any) -> Walked:
        norms: list[float] = []
        clip = OptimizerStep._clip

        def remember(self: OptimizerStep) -> Any:
            norm, gradient = clip(self), self._clipped[0].grad
            assert gradient is not None
            norms.append(float(gradient.float().norm()))
            return norm

        with monkeypatch.context() as patch:
            patch.setattr(OptimizerStep, "_clip", remember)
            run = tmp_path / f"{device}-{settings['precision']}"
            return Walked(*walk(tiny_pipeline, scene, run, device, **settings), norms)

    return walked


def test_the_cpus_run(take: Callable[..., Walked]) -> None:
    """fp32 is the CPU's run with one wait a step; fp16 learns the same, rounded."""
    cpu = take("cpu", precision="fp32")
    with emulated_cuda() as gpu:
        same = take("cuda", precision="fp32")
        assert close(same.steps, cpu.steps, 1e-4)
        assert same.rows == pytest.approx(cpu.rows, rel=1e-3)
        kinds = [type(event) for event in same.events]
        assert kinds.count(PreviewSaved) == 2 and kinds.count(CheckpointSaved) == 4
        assert not [e for e in same.events if isinstance(e, Notice) and e.level != "info"]
        waits = gpu.regions[""].syncs
        assert sum(n for line, n in waits.items() if "_numbers" in line) == 4
        half = take("cuda", precision="fp16")
        assert close(half.steps, cpu.steps, 0.02)
        assert half.rows == pytest.approx(cpu.rows, rel=0.1)
