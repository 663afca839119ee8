"""The README's Python example runs, with a tiny model in place of the embedded one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from engine.scenes.scene import Scene, save_scene

ROOT = Path(__file__).parents[2]


def test_the_readme_example_runs(
    tiny_pipeline: Path, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    code = found[1]
    assert len(code.strip().splitlines()) <= 12
    save_scene(scene, tmp_path / "scene")
    few = '"phase1.steps": 1, "phase2.steps": 1, "loss.prior_weight": 0, "sampling.steps": 2, '
    code = code.replace("demo_scene()", f"load_scene({str(tmp_path / 'scene')!r})")
    code = code.replace('"pocket"', repr(str(tiny_pipeline))).replace(
        '{"preview', "{" + few + '"preview'
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    pictures = [Image.open(tmp_path / f"picture{index}.png") for index in range(4)]
    assert {picture.size for picture in pictures} == {(64, 64)}
