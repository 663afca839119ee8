"""The Export dialog, over a process that only tells events."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.widgets import SelectionList

import bas_tui.client.exchange as exchange_module
from bas_tui.tui.shell.export_dialog import ExportDialog
from engine.runs.folder import RunDir
from tests.tui.pilots import make_app, runs_screen, screen_text, until
from tests.tui.synthetic import make_run

FAKE = Path(__file__).parents[1] / "client" / "fake_exchange.py"


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run with concepts, and a fake in the place of `python -m engine exchange`."""
    monkeypatch.setattr(exchange_module, "host_command", lambda *_: [sys.executable, str(FAKE)])
    run = make_run("kitchen", steps=(4, 4))
    run.concepts.mkdir()
    (run.concepts / "concepts.json").write_text("{}")
    return run


async def test_marked_programs_are_written_and_it_says_where(learned: RunDir) -> None:
    app = make_app()
    async with app.run_test(size=(110, 36)) as pilot:
        await runs_screen(pilot, 1)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, ExportDialog), "the dialog")
        dialog = app.screen
        assert isinstance(dialog, ExportDialog) and dialog.targets == ("comfyui",)
        # What each is for stands there before anything is written.
        text = screen_text(app)
        assert "bas import makes a run of it" in text and "nothing is lost" in text
        marks = dialog.query_one(SelectionList)
        marks.deselect_all()
        await until(pilot, lambda: "X▌" not in screen_text(app), "marks that need no colour")
        await pilot.press("enter")
        await until(pilot, lambda: "Nothing is marked" in screen_text(app), "the complaint")
        marks.select("a1111")
        marks.select("pack")
        assert dialog.targets == ("a1111", "pack")
        await pilot.press("enter")
        await until(pilot, lambda: dialog.has_class("-ended"), "the end")
        text = screen_text(app)
        assert "agree to 41.0 dB" in text and "kitchen_teapot" in text and "1.5 MB in" in text
        await pilot.press("enter")  # On the button that closes.
        await until(pilot, lambda: app.screen is not dialog, "the dialog closed")
    assert not learned.exports.exists()  # The fake writes nothing.


@pytest.mark.parametrize(
    ("mode", "words"), [("fail", "it does not fit - take another"), ("slow", "cancelled")]
)
async def test_what_did_not_come_to_its_end_is_said(
    learned: RunDir, monkeypatch: pytest.MonkeyPatch, mode: str, words: str
) -> None:
    monkeypatch.setenv("FAKE_MODE", mode)
    app = make_app()
    async with app.run_test(size=(110, 36)) as pilot:
        await runs_screen(pilot, 1)
        dialog = ExportDialog(learned)
        await app.push_screen(dialog)
        await pilot.press("enter")
        if mode == "slow":
            await until(pilot, lambda: "half" in screen_text(app), "progress")
            await pilot.press("escape")
        await until(pilot, lambda: dialog.has_class("-ended"), f"the end of {mode}")
        assert words in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not dialog, "the dialog closed")
