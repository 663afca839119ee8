"""The Runs screen: what it lists, and what it does with a run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bas_tui.tui.runs.library import Library, select
from bas_tui.tui.runs.overlay import Overlay, OverlayChart
from bas_tui.tui.runs.run_list import RunList
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.full_picture import FullPicture
from engine.results.pictures import save_generated
from engine.runs.events import StepDone, to_line
from engine.runs.folder import RunDir, runs_dir
from tests.tui.live_runs import make_live
from tests.tui.pilots import (
    app_of,
    make_app,
    message_of,
    runs_screen,
    screen_text,
    train_screen,
    until,
)
from tests.tui.synthetic import events_of, make_run

SHORT: dict[str, Any] = {"steps": (12, 12)}


def library() -> None:
    make_run("alpha", created=1_790_000_000, **SHORT)
    make_run("beta", created=1_790_000_100, concepts=3, until=6, outcome="stopped", **SHORT)
    make_live(make_run("gamma", created=1_780_000_000, until=3, outcome=None, **SHORT))
    broken = runs_dir() / "broken"
    broken.mkdir()
    (broken / "run.toml").write_text("x =")


def test_live_runs_come_first_and_the_filter_takes_words() -> None:
    library()
    entries = Library().read()
    assert [entry.run.name for entry in select(entries, "", "when")] == [
        "gamma", "beta", "alpha", "broken",
    ]  # fmt: skip
    assert [entry.run.name for entry in select(entries, "cactus", "when")] == ["beta"]
    assert [entry.run.name for entry in select(entries, "pocket stop", "when")] == ["beta"]
    assert [entry.run.name for entry in select(entries, "LIVE", "when")] == ["gamma"]
    assert [entry.run.name for entry in select(entries, "", "name")][1:] == [
        "alpha", "beta", "broken",
    ]  # fmt: skip
    assert select(entries, "", "loss")[-1].run.name == "broken"
    assert select(entries, "", "progress")[1].run.name == "alpha"


def test_only_runs_that_changed_are_read_again() -> None:
    library()
    books = Library()
    first = {entry.run.name: entry for entry in books.read()}
    run = first["alpha"].run
    with run.events.open("a") as log:
        event = next(e for e in events_of("alpha") if isinstance(e, StepDone))
        log.write(to_line(event) + "\n")
    second = {entry.run.name: entry for entry in books.read()}
    assert second["beta"].info is first["beta"].info
    assert second["alpha"].info is not first["alpha"].info
    assert second["broken"].state == "damaged"


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_everything_about_a_run_is_on_the_screen(size: tuple[int, int]) -> None:
    library()
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await runs_screen(pilot, 4)
        await pilot.press("j")
        await until(pilot, lambda: "<asset2>" in screen_text(app), "the facts of beta")
        text = screen_text(app)
        for word in ("live", "stopped", "finished", "damaged", "6/24", "cactus", "step 6 of 24"):
            assert word in text
        for label in ("Open", "Compose", "Resume", "Remove", "? Help", ":"):
            assert label in text.splitlines()[-1]


async def test_filter_keys_and_mouse() -> None:
    library()
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await runs_screen(pilot, 4)
        await pilot.press("slash", *"cactus")
        await until(pilot, lambda: len(screen.shown) == 1, "one run left")
        assert app.prefs.runs_filter == "cactus"
        await pilot.press("enter")
        assert "3 hidden" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(screen.shown) == 4, "all runs again")
        await pilot.press("G")
        assert app_of(pilot).bas_screen is screen
        assert "damaged" in screen.header.state and not screen.leads_to("edit")
        await pilot.click("#run-list", offset=(20, 3))
        await until(pilot, lambda: screen.header.run == "beta", "the clicked run")
        assert screen.leads_to("edit")["run"].name == "beta"
        await pilot.press("s")
        assert app.prefs.runs_sort == "name"


async def test_enter_attaches_and_w_only_watches() -> None:
    library()
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await runs_screen(pilot, 4)
        await pilot.press("w")
        screen = await train_screen(pilot, 3)
        assert "read-only" in screen_text(app).splitlines()[0]
        assert "Stop" not in screen_text(app).splitlines()[-1]
        assert screen.check_action("stop", ()) is False
        await pilot.press("R")
        await runs_screen(pilot, 4)
        await pilot.press("enter")
        await until(pilot, lambda: screen.check_action("stop", ()) is True, "control")
        assert "read-only" not in screen_text(app).splitlines()[0]


async def test_remove_asks_and_never_takes_a_live_run(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = threading.Event()

    def folder_size(_run: RunDir) -> int:
        counted.wait(10)
        return 3_400_000_000

    monkeypatch.setattr("bas_tui.tui.runs.screen.folder_size", folder_size)
    library()
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await runs_screen(pilot, 4)
        await pilot.press("D")
        assert app.screen is screen
        await pilot.press("j", "D")
        assert isinstance(app.screen, Confirm)
        assert "frees ..." in screen_text(app)
        counted.set()
        await until(pilot, lambda: "frees 3.4 GB" in screen_text(app), "the size")
        await pilot.press("n")
        assert (runs_dir() / "beta").exists()
        await pilot.press("D", "y")
        await until(pilot, lambda: not (runs_dir() / "beta").exists(), "the folder's end")
        await until(pilot, lambda: len(screen.shown) == 3, "three runs")
        await until(pilot, lambda: "bas rm beta" in message_of(app), "the command")


async def test_a_host_that_does_not_answer_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import bas_tui.client.host_process as host

    monkeypatch.setattr(host, "REPLY_SECONDS", 0.2)
    library()
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await runs_screen(pilot, 4)
        await pilot.press("x")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: "does not answer" in message_of(app), "the error")


async def test_new_runs_appear_by_themselves(bas_home: Path) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await runs_screen(pilot, 0)
        make_run("late", **SHORT)
        await runs_screen(pilot, 1)
        assert bas_home.exists()


async def test_marked_runs_over_each_other_and_their_pictures_of_the_same_words() -> None:
    for number, name in enumerate(("alpha", "beta", "gamma")):
        steps = (12, 12 * (number + 1))
        run = make_run(name, created=1_790_000_000 + number, preview_every=12, steps=steps)
        if name != "beta":
            recipe = {"prompt": "<asset0> in snow", "seed": 7, "run": name}
            pixels = np.full((16, 16, 3), 90, np.uint8)
            save_generated(pixels, run.pictures, "snow", recipe)
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await runs_screen(pilot, 3)
        await pilot.press("g", "space", "space", "G", "m", "o")
        overlay = screen.query_one(Overlay)
        await until(pilot, lambda: len(overlay.runs) == 3, "three runs")
        assert [one.run.name for one in overlay.runs] == ["gamma", "beta", "alpha"]
        await until(pilot, lambda: screen_text(app).count("▀") > 40, "their pictures")
        text = screen_text(app)
        assert "1/4  a photo of <teapot> and <penguin>  (last preview)" in text
        assert text.count("A gamma") == 3 and text.count("C alpha") == 3
        for chart in screen.query(OverlayChart):
            colors = np.unique(chart.cells.fg[2:-1, 7:])
            assert len({chart.concept_ink(index) for index in range(3)} & set(colors.tolist())) > 1
        # Nobody sees which run these would be done to.
        assert not any(screen.check_action(name, ()) for name in ("remove", "stop", "open"))
        await pilot.press("left")
        words = "4/4  <teapot> in snow  (seed 7)"
        await until(pilot, lambda: words in screen_text(app), "another prompt")
        assert "not drawn" in screen_text(app)
        await pilot.press("Y")
        command = "bas gen '<teapot> in snow' --run beta --seed 7 -n 1"
        await until(pilot, lambda: command in message_of(app), "the command of who lacks it")
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, FullPicture), "the pictures alone")
        await pilot.press("v", "escape")
        assert screen.query_one(RunList).has_focus and "gamma" in screen_text(app)
