"""A folder of scenes: what becomes of it, its settings, a driver that is killed, the report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bas_tui.client.batch import Choice, find_scenes, make_batch, plan_batch
from engine.batch.folder import BatchDir, read_batch
from engine.batch.report import report
from engine.batch.status import status
from engine.core.errors import UserError
from engine.runs.description import describe
from engine.runs.liveness import host_pid
from engine.runs.manifest import read_manifest

SETTINGS = """
checkpoint_every = 2
checkpoint_minutes = 0
device = "cpu"
phase1.steps = 6
phase2.steps = 4
preview.every = 5
preview.steps = 1
loss.prior_images = 2
loss.prior_steps = 2
"""


def picture(path: Path, masks: Path, names: tuple[str, ...] = ("teapot", "book")) -> None:
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    masks.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    for index, name in enumerate(names):
        mask = np.zeros((64, 64), np.uint8)
        mask[4 + 30 * index : 30 + 30 * index, 4 + 30 * index : 30 + 30 * index] = 255
        Image.fromarray(mask).save(masks / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_pipeline: Path) -> Path:
    """Two scenes, one a picture with masks beside it, one a folder; and settings."""
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    photos = tmp_path / "Holiday photos"
    photos.mkdir()
    picture(photos / "desk.png", photos / "desk_masks")
    (photos / "shelf").mkdir()
    picture(photos / "shelf" / "img.png", photos / "shelf" / "masks")
    (photos / "bas.toml").write_text(f'{SETTINGS}[scene]\nbase = "{tiny_pipeline}"\n')
    (photos / "shelf" / "bas.toml").write_text('phase1.steps = 4\n[scene.init]\nbook = "paper"\n')
    return photos


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_settings_come_from_the_folder_then_the_scene_then_the_words(folder: Path) -> None:
    (folder / "notes.png").write_bytes(b"no scene: there are no masks of it")
    assert [path.name for path in find_scenes(folder)] == ["desk.png", "shelf"]
    place, planned, broken = plan_batch(folder, None, Choice(settings={"phase2.steps": "3"}))
    assert place.name == "holiday-photos" and not broken and not place.path.exists()
    desk, shelf = planned
    assert (desk.settings["phase1.steps"], shelf.settings["phase1.steps"]) == (6, 4)
    assert desk.settings["phase2.steps"] == shelf.settings["phase2.steps"] == "3"
    make_batch(place, folder, planned)
    assert [s.run_name for s in read_batch(place).scenes] == [
        "holiday-photos-desk", "holiday-photos-shelf",
    ]  # fmt: skip
    assert {c.name: c.initializer for c in read_manifest(shelf.entry.run).concepts} == {
        "book": "paper", "teapot": "",
    }  # fmt: skip
    make_batch(place, folder, planned)
    changed = plan_batch(folder, None, Choice(settings={"phase2.steps": "2"}))[1]
    with pytest.raises(UserError, match="its settings changed since its run"):
        make_batch(place, folder, changed)


def test_scenes_of_like_names_have_runs_of_their_own(folder: Path) -> None:
    for name in ("my.photo.v2", "a b", "a_b", "茶壶"):
        picture(folder / f"{name}.png", folder / f"{name}_masks")
    place, planned, broken = plan_batch(folder, None, Choice())
    runs = {each.entry.name: each.entry.run_name for each in planned}
    assert not broken and len(set(runs.values())) == 6
    assert runs["my.photo.v2"] == "holiday-photos-my-photo-v2"
    assert runs["a b"].startswith("holiday-photos-a-b-") and runs["desk"] == "holiday-photos-desk"
    make_batch(place, folder, [each for each in planned if each.entry.name == "desk"])
    picture(folder / "DESK!.png", folder / "DESK!_masks")
    again = {each.entry.name: each.entry.run_name for each in plan_batch(folder, None, Choice())[1]}
    assert again.items() > runs.items() and again["DESK!"].startswith("holiday-photos-desk-")


def test_what_is_wrong_with_a_scene_is_told_before_anything_starts(folder: Path) -> None:
    (folder / "shelf" / "bas.toml").write_text("phase1.stepz = 4\n")
    picture(folder / "cut.png", folder / "cut_masks")
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n")
    (folder / "desk.toml").write_text("[scene]\nbasis = 1\n")
    _, planned, broken = plan_batch(folder, None, Choice())
    assert planned == []
    said = {each.name: str(each.error) for each in broken}
    assert "phase1.stepz" in said["shelf"] and "cut.png" in said["cut"]
    assert "it takes base" in said["desk"]
    with pytest.raises(UserError, match="holds no scenes"):
        plan_batch(folder / "desk_masks", None, Choice())


def test_a_killed_batch_goes_on_to_its_report(folder: Path) -> None:
    long = {"phase2.steps": "40", "preview.every": "40", "checkpoint_every": "10"}
    place, planned, _ = plan_batch(folder, None, Choice(settings=long))
    make_batch(place, folder, planned)
    runs = [each.entry.run for each in planned]
    place.driver.start("--jobs", "2")
    until(lambda: any(describe(run).step >= 1 for run in runs), "no step was made")
    pid = place.driver.pid
    assert pid is not None
    with pytest.raises(UserError, match="running already"), place.driver.alone():
        pass
    os.kill(pid, signal.SIGKILL)
    until(lambda: not place.driver.lives, "the driver lives on")
    until(lambda: all(host_pid(run) is None for run in runs), "a host outlives its driver")
    assert status(place).done < 2, "the kill came too late to be one"
    assert {describe(run).state for run in runs} <= {"stopped", "interrupted", "new", "finished"}
    command = [sys.executable, "-m", "engine.batch", "drive", str(place.path), "--jobs", "2"]
    assert subprocess.run(command, timeout=300, check=False).returncode == 0
    now = status(place)
    assert now.done == 2 and not now.driven and now.share == 1.0
    page = report(BatchDir(place.path))
    assert page.count("<article>") == 2 and page.count("<polyline") == 2
    assert "phase1.steps=4" in page and "2 of 2 scenes finished" in page
    assert page.count("data:image/jpeg") == 4
