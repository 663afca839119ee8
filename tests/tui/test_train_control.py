"""What can be done to a run from the Train screen, and what is said when it fails."""

from __future__ import annotations

import re
import shutil
import threading
from dataclasses import replace
from typing import Any

import pytest

from bas_tui import client
from bas_tui.run_health import Failure
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.export_dialog import ExportDialog
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.preferences import Prefs
from bas_tui.tui.train.closing_card import ClosingCard
from bas_tui.tui.train.failure_screen import FailureScreen
from bas_tui.tui.train.loss_chart import LossChart
from bas_tui.tui.train.preview_pane import PreviewPane
from bas_tui.tui.train.screen import TrainScreen
from engine.core.errors import BasError
from engine.runs.event_reading import read_events
from engine.runs.events import (
    Paused,
    Progress,
    RunEnded,
    SettingChanged,
)
from engine.runs.folder import RunDir
from tests.tui.live_runs import append, make_live
from tests.tui.pilots import make_app, message_of, screen_text, train_screen, until
from tests.tui.synthetic import START, make_run

SMALL: dict[str, Any] = {"steps": (40, 40), "preview_every": 20}


async def test_commands_reach_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, object]]] = []

    def send(_run: RunDir, word: str, **values: object) -> None:
        sent.append((word, values))
        if values.get("value") == 25:
            raise BasError("the host is busy", "ask again")

    monkeypatch.setattr(client, "send", send)
    run = make_run("desk", until=20, outcome=None, **SMALL)
    make_live(run)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        await train_screen(pilot, 20)
        await pilot.press("space", "c", "v", "plus", "x")
        assert isinstance(app.screen, Confirm)
        await pilot.press("escape")
        await until(pilot, lambda: len(sent) == 4, "four commands")
        assert [word for word, _ in sent] == ["pause", "checkpoint", "preview", "set"]
        assert sent[-1][1] == {"key": "preview.every", "value": 50}
        await pilot.press("x", "y")
        await until(pilot, lambda: len(sent) == 5, "the stop")
        await until(pilot, lambda: "$ bas stop desk" in message_of(app), "the command")
        # What was asked for stands in the title once the host has said it; a refusal never.
        await pilot.press("plus")
        await until(pilot, lambda: "the host is busy" in message_of(app), "the refusal")
        assert "every 100" in screen_text(app)
        await pilot.press("plus")
        await until(pilot, lambda: len(sent) == 7, "the cadence")
        assert sent[-1][1] == {"key": "preview.every", "value": 50}
        last = max(event.seq for event in read_events(run))
        append(run, SettingChanged(key="preview.every", value=50, seq=last + 1, time=1.0))
        await until(pilot, lambda: "every 50" in screen_text(app), "the title")


async def test_a_read_only_view_changes_nothing() -> None:
    run = make_run("desk", until=20, outcome=None, **SMALL)
    make_live(run)
    app = make_app("train", run="desk", control=False)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 20)
        for action in ("pause", "stop", "checkpoint", "preview", "cadence", "resume"):
            assert not screen.check_action(action, ())
        await pilot.press("x", "c", "v", "space")
        assert app.screen is screen
        assert "Stop" not in screen_text(app)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"until": 33, "nan_at": 33, "outcome": "failed", "message": "the loss is NaN",
             "remedy": "lower the learning rate"},
            ("is not a number", "step 33 of 80", "Lower the learning rate of phase 1"),
        ),
        (
            {"until": 33, "outcome": "failed", "message": "CUDA out of memory",
             "remedy": "use a smaller batch_size"},
            ("ran out of memory", "step 33", "--set gradient_checkpointing=true"),
        ),
        ({"until": 33, "outcome": None}, ("The host of desk is gone", "step 33 of 80")),
    ],
)  # fmt: skip
async def test_failures_say_what_where_and_how_to_go_on(
    options: dict[str, Any], words: tuple[str, ...]
) -> None:
    run = make_run("desk", **SMALL, **options)
    run.log.write_text("first\nKilled by a test\n")
    app = make_app("train", run="desk")
    async with app.run_test(size=(100, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, FailureScreen), "the failure")
        await pilot.pause()
        text = " ".join(screen_text(app).split())
        for word in (*words, "$ bas resume desk", "Killed by a test"):
            assert word in text
        assert ("--set phase1.learning_rate=0.0001" in text) == (
            "NaN" in options.get("message", "")
        )
        await pilot.press("escape")
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        assert "$ bas resume desk" in screen_text(app)
        if "memory" in options.get("message", ""):
            # The next host has followed the advice, and fails again.
            client.change_settings(run, {"gradient_checkpointing": "true"})
            failed = screen.state
            screen.present(replace(failed, status="training"))
            screen.present(failed)
            await until(pilot, lambda: isinstance(app.screen, FailureScreen), "the failure again")
            assert "--set" not in screen_text(app)


async def test_a_named_run_never_waits_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`bas attach good` after a failed run: neither its dialog nor its Resume touch another run."""
    started: list[str] = []
    monkeypatch.setattr(client, "start_host", lambda run: started.append(run.name))
    make_run("bad", until=33, outcome="failed", message="no reason", **SMALL)
    make_run("good", **SMALL)
    app = make_app("train", run="good", prefs=Prefs(last_run="bad"))
    async with app.run_test(size=(100, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        await pilot.pause(0.3)
        assert app.screen is screen and screen.header.run == "good"
        await app.go("train", run="bad")
        await until(pilot, lambda: isinstance(app.screen, FailureScreen), "the failure of bad")
        await pilot.press("r")
        await until(pilot, lambda: started == ["bad"], "the start of bad")
        # Somebody opens another run while the dialog of the first one is up.
        await app.go("train", run="bad")
        app.push_screen(FailureScreen(Failure(title="t", happened="", remedy="", run="bad"),
                                      lambda: "", True))  # fmt: skip
        await app.go("train", run="good")
        await train_screen(pilot, 80)
        assert not isinstance(app.screen, FailureScreen) and started == ["bad"]


async def test_what_was_asked_for_is_a_state_at_once_and_a_second_press_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    let_go = threading.Event()

    def send(_run: RunDir, word: str, **_values: object) -> None:
        sent.append(word)
        let_go.wait(10)

    monkeypatch.setattr(client, "send", send)
    monkeypatch.setattr(client, "start_host", lambda run: send(run, "start"))
    run = make_run("desk", until=20, outcome=None, **SMALL)
    make_live(run)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 20)
        await pilot.press("space")
        assert screen.header.state == "pausing"
        assert "pausing after this step" in screen_text(app).splitlines()[1]
        await pilot.press("space")
        await until(pilot, lambda: "step under way ends first" in message_of(app), "a word")
        assert sent == ["pause"]
        let_go.set()
        last = max(event.seq for event in read_events(run))
        append(run, Paused(step=20, seq=last + 1, time=1.0))
        await until(pilot, lambda: screen.header.state == "paused", "the pause")
        append(run, RunEnded(step=20, outcome="stopped", seq=last + 2, time=2.0))
        run.pid_file.unlink()
        await until(pilot, lambda: screen.header.state == "stopped", "the end")
        let_go.clear()
        await pilot.press("r", "r")
        assert screen.header.state == "starting"
        await until(pilot, lambda: "starting already" in message_of(app), "a word")
        assert sent == ["pause", "start"] and not screen.check_action("stop", ())
        let_go.set()
        make_live(run)
        append(run, Progress(stage="load", done=3, total=5, label="unet", seq=last + 3, time=3.0))
        await until(pilot, lambda: "loading the base model 3/5" in screen_text(app), "the stage")
        assert screen.header.state == "starting" and screen.control is not None
        assert screen.control.pending() == ""


async def test_a_refused_start_and_a_host_that_vanishes_leave_the_run_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([BasError("no memory", "free some"), None])

    def start(_run: RunDir) -> None:
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(client, "start_host", start)
    make_run("desk", until=20, outcome="stopped", **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        screen = await train_screen(pilot, 20)
        for words in ("no memory - free some", "the host of desk is gone"):
            await pilot.press("r")
            await until(pilot, lambda: words in message_of(app), words)  # noqa: B023
            assert screen.header.state == "stopped"
        # The footer has no room for what helps.
        (whole,) = app._notifications
        assert whole.message.endswith("host.log")


async def test_a_run_without_a_host_and_without_a_step_is_new_and_has_no_axes() -> None:
    run = make_run("desk", write_events=False, **SMALL)
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 0)
        await until(pilot, lambda: screen.header.state == "new", "the state")
        text = screen_text(app)
        assert "┤" not in text and "appears with the first step" in text
        assert "not started" in text and screen.check_action("resume", ())
        assert screen.header.base == "pocket"
        # It is removed, and another one gets its name.
        shutil.rmtree(run.path)
        make_run("desk", created=START + 60, **SMALL)
        await app.go("train", run="desk")
        await train_screen(pilot, 80)


async def test_the_end_of_a_run_is_a_card_with_pictures_numbers_and_the_next_keys() -> None:
    run = make_run("desk", outcome=None, leaky=True, **SMALL)
    make_live(run)
    last = max(event.seq for event in read_events(run))
    app = make_app("train", run="desk")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 80)
        assert not screen.check_action("result", ())
        await app.go("runs")
        append(run, RunEnded(step=80, outcome="finished", seq=last + 1, time=2.0))
        run.pid_file.unlink()
        await until(pilot, lambda: "desk has finished: F4" in message_of(app), "a word elsewhere")
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, ClosingCard), "the card")
        await until(pilot, lambda: "▀" in screen_text(app), "the last pictures")
        text = screen_text(app)
        for word in (
            "desk has learned 2 things", "80 steps in 0:", "<teapot> and <penguin>",
            "% of the attention of <teapot> lies outside", "Draw with it (C)",
        ):  # fmt: skip
            assert word in text
        assert re.search(r"IoU 0\.\d\d → 0\.\d\d  leak \d+%", text)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, FullPicture), "the whole terminal")
        await pilot.press("escape", "escape")
        assert app.screen is screen
        await pilot.press("f", "C")
        await until(pilot, lambda: app.bas_screen is not screen, "another screen")
        assert app.bas_screen is not None and app.bas_screen.SCOPE == "compose"
    # Who opens a run that finished long ago looks at its history at once.
    again = make_app("train", run="desk")
    async with again.run_test(size=(80, 24)) as pilot:
        assert again.screen is await train_screen(pilot, 80)
        again.screen.set_focus(again.screen.query_one(PreviewPane))
        await pilot.press("v")
        assert isinstance(again.screen, FullPicture)
        await pilot.press("v", "f", "escape")
        again.screen.set_focus(again.screen.query_one(LossChart))
        await pilot.press("f", "X")
        await until(pilot, lambda: isinstance(again.screen, ExportDialog), "the export")
