"""The Scene and Compose screens as text; `tests.tui.test_snapshots` says how to write them anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.shell.keybar import KeyBar
from engine.models.device_guess import Device
from tests.tui.pilots import make_app, screen_text, until
from tests.tui.synthetic import disc, scene_picture
from tests.tui.test_compose_screen import make_run
from tests.tui.test_snapshots import check


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what differs between two machines."""
    monkeypatch.setattr(KeyBar, "show_rate", lambda _self, _text: None)
    for module in ("scene.plan_chooser", "compose.screen"):
        monkeypatch.setattr(
            f"bas_tui.tui.{module}.guess_device", lambda *_: Device("cpu", "2 cores")
        )


def write_scene(folder: Path) -> Path:
    path = folder / "desk"
    path.mkdir()
    Image.fromarray(scene_picture(2, 128)).save(path / "img.png")
    for index in range(2):
        mask = (disc(index, 128) > 0.5).astype(np.uint8) * 255
        Image.fromarray(mask).save(path / f"mask{index}.png")
    return path


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_scene(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(
        "scene", terminal=Terminal(ascii=True, colors=0), scene=write_scene(tmp_path), base="sd15"
    )
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "estimate" in screen_text(app), "the estimate")
        check(f"scene-{size[0]}x{size[1]}", screen_text(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_compose(size: tuple[int, int]) -> None:
    make_run("tea", 3)
    app = make_app("compose", run="tea")
    async with app.run_test(size=size) as pilot:
        await pilot.press(*"in", "space", "less_than_sign")
        await until(pilot, lambda: "<penguin>" in screen_text(app), "the completions")
        await until(pilot, lambda: "1 of 3" in screen_text(app), "the pictures")
        check(f"compose-{size[0]}x{size[1]}", screen_text(app))
