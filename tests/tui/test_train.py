"""The Train screen on replayed runs: history, scrubbing, control, failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from bas_tui.run_state import reduce_all
from bas_tui.tui.shell.preferences import Prefs
from bas_tui.tui.train.attention_panel import AttentionPanel
from bas_tui.tui.train.loss_chart import LossChart, next_cadence
from bas_tui.tui.train.pane import Pane
from bas_tui.tui.train.preview_pane import PreviewPane, captions, preview_at
from bas_tui.tui.train.screen import TrainScreen
from engine.runs.event_reading import read_events
from engine.runs.events import (
    ConceptInfo,
    MachineLoad,
    Paused,
    Resumed,
    StepDone,
    to_line,
)
from tests.tui.live_runs import append, make_live
from tests.tui.pilots import make_app, message_of, screen_text, train_screen, until
from tests.tui.synthetic import events_of, make_run

SMALL: dict[str, Any] = {"steps": (40, 40), "preview_every": 20}


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_everything_needed_is_on_the_screen(size: tuple[int, int]) -> None:
    run = make_run("desk", until=50, outcome=None, **SMALL)
    make_live(run)
    app = make_app("train", run="desk")
    async with app.run_test(size=size) as pilot:
        await train_screen(pilot, 50)
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
        assert "desk · pocket on cpu" in lines[0]
        assert "live" in lines[0]
        assert "40/40" in lines[1]
        assert "10/40" in lines[1]
        assert "it/s" in lines[1]
        assert "left" in lines[1]
        text = "\n".join(lines)
        for word in ("teapot", "penguin", "IoU", "leak", "Preview 40", "phase 2", "total", "prior"):
            assert word in text
        for label in ("Pause", "Stop", "Save", "Preview", "History", "Log", "? Help", ":"):
            assert label in lines[-1]
        # How busy the machine is, once the host says so; in the past only what was read then.
        screen, giga = app.screen, 10**9
        assert isinstance(screen, TrainScreen)
        readings = [
            MachineLoad(cpu=share, memory_used=8 * giga, memory_total=16 * giga, disk_free=giga,
                        gpu=0.97, gpu_memory_used=11 * giga, gpu_memory_total=16 * giga,
                        gpu_celsius=61.0, time=screen.state.time + share, seq=-1)
            for share in (0.1, 0.5, 1.0)
        ]  # fmt: skip
        screen.detach()
        # A new connection tells the last ones again.
        screen.present(reduce_all([*readings, *readings], screen.state))
        await pilot.pause()
        line = screen_text(app).splitlines()[2]
        for words in ("GPU 97% 11.0/16.0 GB 61°C", "CPU 100%", "RAM 8.0/16.0 GB", "1.0 GB left"):
            assert words in line
        assert ("▂▅█" in line.replace("▁", "▂").replace("▄", "▅")) == (size[0] > 80)
        await pilot.press("home")
        assert "no reading" in screen_text(app).splitlines()[2]
        screen.header = replace(screen.header, run="teapot-1129-072934", state="interrupted")
        await pilot.pause()
        top = screen_text(app).splitlines()[0]
        assert "teapot-1129" in top and top.endswith("✗ interrupted")


async def test_scrubbing_moves_chart_maps_and_previews_together() -> None:
    make_run("desk", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        panel = app.screen.query_one(AttentionPanel)
        newest = panel.cells.fg.copy()
        await pilot.press("left")
        assert screen.at == 79
        await pilot.press("H", "H", "H")
        assert screen.at == 49
        await pilot.pause()
        assert " 49 " in screen_text(app)
        assert "Preview 40" in screen_text(app)
        assert (panel.cells.fg != newest).any()
        await pilot.press("g")
        assert screen.at == 1
        assert "Preview 40" not in screen_text(app)
        await pilot.press("right", "l")
        assert screen.at == 3
        await pilot.press("end")
        assert screen.at is None
        await pilot.pause()
        assert (panel.cells.fg == newest).all()


async def test_the_mouse_scrubs_and_toggles() -> None:
    make_run("desk", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        await pilot.click("#chart", offset=(40, 10))
        assert screen.at is not None
        first = screen.at
        await pilot.mouse_down("#chart", offset=(30, 10))
        assert screen.at < first
        await pilot.mouse_up("#chart", offset=(30, 10))
        legend = screen_text(app).splitlines()[3]
        await pilot.click("#chart", offset=(legend.index("masked") + 1, 1))
        assert app.prefs.chart_parts == ("loss", "masked")


async def test_view_keys_are_remembered() -> None:
    make_run("desk", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        chart = app.screen.query_one(LossChart)
        assert chart.span() == (1, 80)
        await pilot.press("z")
        assert chart.span() == (1, 40)
        await pilot.press("z")
        assert chart.span() == (41, 80)
        await pilot.press("z", "y", "3", "1", "d", "o")
        assert chart.span() == (1, 80)
        assert not app.prefs.chart_log
        assert app.prefs.chart_parts == ("attention",)
        assert not app.prefs.chart_raw
        assert screen.has_class("-no-log")
        await pilot.press("m")
        assert screen.has_class("-only-chart")
        await pilot.press("0")
        assert not screen.has_class("-only-chart")
        assert app.prefs.chart_parts == ("loss",)


async def test_new_events_appear_and_a_pause_shows_at_once() -> None:
    run = make_run("desk", until=20, outcome=None, **SMALL)
    make_live(run)
    events = list(events_of("desk", **SMALL))
    known = sum(1 for _ in events_of("desk", until=20, outcome=None, **SMALL))
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 20)
        coming = [event for event in events[known:] if isinstance(event, StepDone)][:5]
        append(run, *coming)
        await train_screen(pilot, 25)
        await pilot.press("left")
        at = screen.at
        append(run, Paused(step=25, seq=coming[-1].seq + 1, time=coming[-1].time))
        await until(pilot, lambda: screen.state.status == "paused", "the pause")
        assert screen.at == at
        assert "paused at step 25" in screen_text(app)
        assert "spc Go on" in screen_text(app)
        append(run, Resumed(step=25, seq=coming[-1].seq + 2, time=coming[-1].time))
        await until(pilot, lambda: screen.state.status == "training", "the end of the pause")


async def test_without_a_name_the_last_run_is_opened_even_if_it_is_gone() -> None:
    make_run("one", **SMALL)
    for last in ("one", "removed"):
        app = make_app("train", prefs=Prefs(last_run=last))
        async with app.run_test(size=(100, 36)) as pilot:
            screen = await train_screen(pilot, 80)
            assert screen.header.run == "one"


async def test_the_banner_says_which_step_is_looked_at_while_the_run_goes_on() -> None:
    run = make_run("desk", until=50, outcome=None, **SMALL)
    make_live(run)
    coming = list(events_of("desk", until=60, outcome=None, **SMALL))
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 50)
        assert "End: live" not in screen_text(app)
        await pilot.press("H", "H")
        at = screen.at
        await until(pilot, lambda: f"step {at} of 50" in screen_text(app), "the banner")
        known = {e.seq for e in read_events(run)}
        with run.events.open("a") as log:
            log.writelines(f"{to_line(e)}\n" for e in coming if e.seq not in known)
        await until(pilot, lambda: f"step {at} of 60" in screen_text(app), "the live step")
        assert "20/40" in screen_text(app).splitlines()[1], "the phases go on"
        assert screen.at == at and f"Log until step {at}" in screen_text(app)
        await pilot.press("end")
        await until(pilot, lambda: "End: live" not in screen_text(app), "the live view")


def test_a_caption_keeps_what_differs() -> None:
    infos = [ConceptInfo(token=f"<asset{k}>", name=name, initializer="", mask="")
             for k, name in enumerate(("teapot", "penguin"))]  # fmt: skip
    prompt = "a photo of <asset0> | a photo of <asset1> | a photo of <asset0> and <asset1>"
    assert captions(prompt, infos, 40)[2] == "a photo of <teapot> and <penguin>"
    assert captions(prompt, infos, 12) == ["<teapot>", "<penguin>", "<teapot> an…"]
    assert captions("", infos, 12) == [""]


async def test_screens_hand_on_what_they_are_about() -> None:
    make_run("desk", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "ComposeScreen", "Compose")
        await until(pilot, lambda: app.screen.header.run == "desk", "the run")  # pyright: ignore
        await pilot.press("escape", "T")
        await until(pilot, lambda: app.screen is screen, "Train")
        await pilot.press("f3")
        await until(pilot, lambda: type(app.screen).__name__ == "SceneScreen", "Scene")
        await until(pilot, lambda: "teapot" in screen_text(app), "the run's scene")


async def test_panes_fit_also_when_the_layout_sends_no_resize() -> None:
    make_run("desk", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await train_screen(pilot, 80)
        warnings, chart = screen.query_one("#warnings", Static), screen.query_one(LossChart)
        warnings.update("one\ntwo\nthree")
        await pilot.pause()
        before = chart.size
        # As when a dialog is drawn over the screen before its layout: the places are asked for
        # first, so that the layout finds every pane where it already was.
        screen._compositor.update_widgets({warnings})
        warnings.styles.display = "block"
        assert chart.region.height == before.height + 1 - 3
        await until(pilot, lambda: chart.size.height == before.height - 3, "the layout")
        for pane in screen.query(Pane):
            assert not pane.size or pane.cells.chars.shape == (pane.size.height, pane.size.width)


async def test_warnings_are_shown_with_their_remedy() -> None:
    run = make_run("desk", leaky=True, attention_every=2, **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        await train_screen(pilot, 80)
        await pilot.pause()
        text = screen_text(app)
        assert "<teapot> lies outside its mask" in text
        assert "check the mask" in text
        assert "!leak" in text
        assert run.path.exists()


async def test_many_tokens_scroll() -> None:
    make_run("desk", concepts=5, **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(80, 24)) as pilot:
        await train_screen(pilot, 80)
        assert "3 more" in screen_text(app)
        assert "guitar" not in screen_text(app)
        app.screen.query_one(AttentionPanel).focus()
        await pilot.press("down", "j", "j")
        await pilot.pause()
        assert "guitar" in screen_text(app)


async def test_a_missing_preview_is_said() -> None:
    run = make_run("desk", **SMALL)
    *earlier, last = sorted(run.previews.iterdir())
    for path in earlier:
        path.unlink()
    # Pillow tells of this damage by a SyntaxError.
    head, tail = last.read_bytes().split(b"IDAT", 1)
    last.write_bytes(head[:-4] + b"\0\0\0\x0aIDAT" + tail)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        pane = app.screen.query_one(PreviewPane)
        assert preview_at(screen.state, 79) is not None
        await until(pilot, lambda: "missing" in screen_text(app), "the missing picture")
        assert pane.state is screen.state


async def test_an_unknown_run_and_one_that_cannot_be_followed_are_errors_with_a_remedy(
    bas_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app("train", run="nothing")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "bas runs" in message_of(app), "the remedy")
        make_run("desk", **SMALL)
        # What is wrong with these events nobody foresaw.
        monkeypatch.setattr("bas_tui.tui.train.run_follower.read_events", lambda _run: [None])
        await app.go("train", run="desk")
        await until(pilot, lambda: "desk is followed no longer" in message_of(app), "the error")
        assert "Traceback" in (bas_home / "bas-errors.log").read_text()


def test_cadences_are_round() -> None:
    assert next_cadence(100, 1, 800) == 50
    assert next_cadence(10, 1, 800) == 10
    assert next_cadence(100, -1, 800) == 200
    assert next_cadence(500, -1, 800) == 0
    assert next_cadence(0, 1, 800) == 500
    assert next_cadence(0, -1, 800) == 0
