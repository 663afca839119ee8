"""The Batch screen: every scene at a moment, its pictures, stop and go on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from bas_tui.tui.batch.scene_facts import SceneFacts
from bas_tui.tui.batch.scene_table import SceneTable
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.full_picture import FullPicture
from engine.batch.folder import Batch, BatchDir, BatchScene, batches_dir, write_batch
from engine.jobs.driver import Driver
from engine.runs.events import StepDone, to_line
from engine.runs.folder import runs_dir
from tests.tui.pilots import make_app, screen_text, until
from tests.tui.synthetic import events_of, make_run

SHORT: dict[str, Any] = {"steps": (12, 12)}


def make_batch(name: str, runs: list[str]) -> BatchDir:
    place = BatchDir(batches_dir() / name)
    place.path.mkdir(parents=True)
    scenes = tuple(BatchScene(name=run, source=f"photos/{run}.jpg", run_name=run) for run in runs)
    write_batch(place, Batch(source="/photos", scenes=scenes))
    return place


@pytest.fixture
def batch() -> BatchDir:
    make_run("desk", **SHORT)
    make_run("shelf", until=6, outcome="stopped", **SHORT)
    make_run("sofa", until=3, outcome="failed", **SHORT)
    Image.fromarray(np.full((64, 192, 3), 90, np.uint8)).save(
        runs_dir() / "desk" / "previews" / "step-000024.png"
    )
    return make_batch("photos", ["desk", "shelf", "sofa", "gone"])


async def test_a_batch_at_a_moment(batch: BatchDir, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(Driver, "start", lambda _self, *words: started.append(words) or 1)
    app = make_app("batch")
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "1 of 4 scenes done, 2 failed" in screen_text(app), "the scenes")
        text = screen_text(app)
        assert "✓ finished" in text and "■ stopped" in text and "✗ failed" in text
        assert "24/24" in text and "6/24" in text and " Batch " in text
        facts = app.screen.query_one(SceneFacts)
        await until(pilot, lambda: facts.picture is not None, "its preview")
        assert facts.picture == runs_dir() / "desk" / "previews" / "step-000024.png"
        await pilot.press("v")
        assert isinstance(app.screen, FullPicture)
        await pilot.press("escape", "j")
        await until(pilot, lambda: facts.border_title == "shelf", "the next scene")
        # A step is seen, and the cursor stays.
        step = next(e for e in events_of("shelf") if isinstance(e, StepDone))
        run = runs_dir() / "shelf"
        line = to_line(step).replace('"step":1,', '"step":7,')
        with (run / "events.jsonl").open("a") as file:
            file.write(line if line.endswith("\n") else f"{line}\n")
        await until(pilot, lambda: "7/24" in screen_text(app), "a step")
        table = app.screen.query_one(SceneTable)
        assert table.current is not None and table.current.scene.name == "shelf"
        await pilot.press("r")
        await until(pilot, lambda: bool(started), "the driver")
        with batch.driver.alone():
            await until(pilot, lambda: "live" in screen_text(app), "that it is driven")
            await pilot.press("x")
            assert isinstance(app.screen, Confirm)
            await pilot.press("escape")
        await pilot.press("o")
        await until(pilot, batch.report.is_file, "the report")
        await pilot.press("enter")

        def folder() -> object:
            return app.bas_screen.folder() if app.bas_screen is not None else None

        await until(pilot, lambda: app.current_mode == "train" and folder() == run, "its run")


async def test_without_and_with_several_batches() -> None:
    app = make_app("batch")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "No batches yet" in screen_text(app), "what to do")
        make_run("desk", **SHORT)
        make_batch("old", ["desk"])
        make_batch("new", ["desk", "gone"])
        await until(pilot, lambda: "of 2 batches" in screen_text(app), "the newest")
        first = screen_text(app)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: screen_text(app) != first, "the other")
        assert ("(1 of 2" in first) != ("(1 of 2" in screen_text(app))
