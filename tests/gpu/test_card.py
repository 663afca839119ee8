"""Tiny models on a real GPU: the CPU's run, resumed runs, pictures, memory that is too small.

Losses agree within rounding, not to the last bit: a GPU adds in an order of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine import api
from engine.core.errors import BasError
from engine.core.settings import build_config
from engine.scenes.scene import Scene
from tests.engine_fixtures import bas_home, scene  # noqa: F401
from tests.gpu.walks import SETTINGS, close, run_or_part, walk

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


def test_the_cpus_run(tiny_pipeline: Path, scene: Scene, tmp_path: Path) -> None:  # noqa: F811
    cpu, _ = walk(tiny_pipeline, scene, tmp_path / "cpu", "cpu", precision="fp32")
    for precision, tolerance in (("fp32", 1e-3), ("bf16", 0.05), ("fp16", 0.02)):
        there, _ = walk(tiny_pipeline, scene, tmp_path / precision, "cuda", precision=precision)
        assert close(there, cpu, tolerance), precision


@pytest.mark.parametrize(
    "model, trained, precision",
    [
        ("tiny_pipeline", "all", "fp16"),
        ("tiny_pipeline", "lora", "bf16"),
        ("tiny_sdxl", "lora", "fp16"),
    ],
)
def test_a_resumed_run_goes_on(
    request: pytest.FixtureRequest,
    scene: Scene,  # noqa: F811
    tmp_path: Path,
    model: str,
    trained: str,
    precision: str,
) -> None:
    folder = str(request.getfixturevalue(model))
    settings = {
        "phase2.train": trained, "precision": precision, "phase2.steps": 3, "lora.rank": 2,
        "preview.every": 0,
    }  # fmt: skip
    _, whole = run_or_part(folder, scene, tmp_path / "whole", "cuda", settings)
    _, first = run_or_part(folder, scene, tmp_path / "parts", "cuda", settings, stop=4)
    base, second = run_or_part(folder, scene, tmp_path / "parts", "cuda", settings)
    assert first + second == pytest.approx(whole, rel=5e-3)
    config = build_config(SETTINGS, settings)
    picture = next(iter(api.draw(base, ["a photo of <asset0>"], seeds=[1], config=config)))
    assert picture.dtype == np.uint8 and picture.std() > 0


def test_too_little_memory_is_a_line(
    tiny_pipeline: Path, scene: Scene, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    settings = {"precision": "fp32", "preview.every": 0, "batch_size": 64}
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved() + (64 << 20)
    torch.cuda.set_per_process_memory_fraction(
        held / torch.cuda.get_device_properties(0).total_memory
    )
    try:
        with pytest.raises(BasError, match="memory"):
            run_or_part(str(tiny_pipeline), scene, tmp_path / "run", "cuda", settings)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
