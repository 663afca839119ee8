"""From an opened picture to a drawn one: a real run on the embedded model, two steps long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import engine
from bas_tui import client
from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.compose.screen import ComposeScreen
from bas_tui.tui.edit.screen import EditScreen
from bas_tui.tui.scene.screen import SceneScreen
from bas_tui.tui.shell.keybar import KeyBar
from bas_tui.tui.shell.picture_files import list_pictures
from bas_tui.tui.train.screen import TrainScreen
from engine.core.errors import BasError
from engine.runs.description import describe
from engine.runs.folder import RunDir
from engine.runs.library import list_runs
from engine.runs.liveness import host_pid
from engine.runs.manifest import read_manifest

SCENE = Path(engine.__file__).parent / "pocket" / "scenes" / "teapot_penguin"
PATIENCE = 240.0
"""Seconds that a busy machine may take to load torch and the model; nothing is timed."""
SETTINGS = {
    "phase1.steps": 1, "phase2.steps": 1, "batch_size": 1, "loss.prior_weight": 0,
    "preview.every": 0,
}  # fmt: skip


async def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.1)


def stop(run: RunDir) -> None:
    try:
        client.send(run, "stop")
    except BasError:
        return


async def test_open_train_and_draw() -> None:
    app = BasApp(Start(screen="scene", arguments={"scene": SCENE, "base": "pocket"}))
    try:
        async with app.run_test(size=(100, 32)) as pilot:
            await until(lambda: isinstance(app.screen, SceneScreen), "the Scene screen")
            scene = app.screen
            assert isinstance(scene, SceneScreen)
            await until(lambda: scene.document is not None, "the picture")
            plan = scene.panel.plan
            for key, value in SETTINGS.items():
                plan = plan.with_setting(key, value)
            scene.panel.post_message(scene.panel.Changed(plan))
            await pilot.press("W", *"bird", "enter", "t")
            await until(lambda: isinstance(app.screen, TrainScreen), "the Train screen")
            (run,) = list_runs()
            manifest = read_manifest(run)
            assert [c.initializer for c in manifest.concepts] == ["bird", ""]
            assert manifest.settings["phase1.steps"] == 1
            await until(lambda: describe(run).state == "finished", "the end of the run")

            await app.go("compose", run=run.name)
            await until(lambda: isinstance(app.screen, ComposeScreen), "the Compose screen")
            compose = app.screen
            assert isinstance(compose, ComposeScreen)
            await until(lambda: compose.runs.run == run, "the run's tokens")
            settings = compose.prompts.settings
            settings.settings = settings.settings.typed("count", "2").typed("steps", "2")
            settings.settings = settings.settings.typed("seed", "11")
            await pilot.press(*"in", "space", "less_than_sign", "p", "enter", "enter")
            assert (
                compose.prompts.prompt.value == "in <penguin> " or compose.queue.current is not None
            )
            await until(lambda: compose.queue.current is None, "the end of the drawing")
            pictures = list_pictures(run)
            assert sorted(p.recipe.seed or 0 for p in pictures) == [11, 12]
            assert {p.recipe.prompt for p in pictures} == {"in <penguin>"}
            assert [t.picture for t in compose.gallery.tiles if t.picture]

            await app.go("edit", run=run.name, photo=SCENE)
            await until(lambda: isinstance(app.screen, EditScreen), "the Edit screen")
            edit = app.screen
            assert isinstance(edit, EditScreen)
            await until(lambda: edit.desk.document is not None, "the photo")
            line = edit.prompts.settings
            line.settings = line.settings.typed("count", "1").typed("steps", "2")
            await pilot.press("space", "ctrl+g")
            await until(lambda: edit.candidates.queue.current is not None, "the request")
            await until(lambda: edit.candidates.queue.current is None, "the end of the edit")
            (candidate,) = [tile.picture for tile in edit.gallery.tiles if tile.picture]
            assert candidate.recipe.photo and edit.desk.document is not None
            made = np.asarray(Image.open(candidate.path)).astype(int)
            changed = np.abs(made - edit.desk.document.image).max(-1) > 0
            assert changed.any() and not (changed & ~edit.desk.document.mask(0)).any()
            await app.go("compose")

            settings.settings = settings.settings.typed("count", "8").typed("steps", "200")
            await pilot.press("enter")
            await until(
                lambda: bool(compose.queue.current and compose.queue.current.done),
                "the first drawing step",
            )
            await pilot.press("ctrl+x")
            await until(lambda: compose.queue.current is None, "the end of the cancelled drawing")
            assert "cancelled" in compose.query_one(KeyBar).message
    finally:
        for run in list_runs():
            stop(run)
    assert all(host_pid(run) is None or describe(run).state == "finished" for run in list_runs())
