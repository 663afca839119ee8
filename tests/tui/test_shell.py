"""What works on every screen: keys, help, palette, jump mode, themes, copying, sizes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.command import CommandPalette
from textual.widgets import Input, OptionList

from bas_tui.tui.drawing.terminal import MIN_HEIGHT, MIN_WIDTH, Terminal
from bas_tui.tui.edit.screen import EditScreen
from bas_tui.tui.runs.run_list import RunList
from bas_tui.tui.shell import preferences
from bas_tui.tui.shell.ask import Ask
from bas_tui.tui.shell.commands import CommandsScreen
from bas_tui.tui.shell.dialogs import Confirm, CopyDialog, TooSmall
from bas_tui.tui.shell.help import HelpScreen
from bas_tui.tui.shell.jump import JumpScreen
from bas_tui.tui.shell.preferences import Prefs
from tests.tui.pilots import (
    make_app,
    message_of,
    runs_screen,
    screen_strips,
    screen_text,
    train_screen,
    until,
)
from tests.tui.synthetic import make_run

SHORT: dict[str, Any] = {"steps": (12, 12)}


async def test_keys_and_tabs_change_the_screen() -> None:
    make_run("one", **SHORT)
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await runs_screen(pilot, 1)
        await pilot.press("T")
        await train_screen(pilot, 24)
        await pilot.press("f2")
        await runs_screen(pilot, 1)
        column = screen_text(app).splitlines()[0].index("Train")
        await pilot.click(offset=(column + 1, 0))
        await train_screen(pilot, 24)
        # The footer asks every screen what is under way, also one that is still being made.
        app._screen_stacks["edit"] = [EditScreen()]
        assert not app.check_action("cancel", ())


async def test_help_explains_the_focus_the_screen_and_everything_else() -> None:
    make_run("one", **SHORT)
    app = make_app("train", run="one")
    async with app.run_test(size=(100, 60)) as pilot:
        await train_screen(pilot, 24)
        app.screen.query_one("#maps").focus()
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.pause()
        text = screen_text(app)
        assert "Left the mask of each concept" in text
        assert "Cross-attention" not in text.splitlines()[0]
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


async def test_the_palette_lists_what_is_possible_and_does_it() -> None:
    make_run("one", **SHORT)
    app = make_app("train", run="one", control=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await train_screen(pilot, 24)
        await pilot.press("colon")
        assert isinstance(app.screen, CommandPalette)
        options = app.screen.query_one(OptionList)
        await until(pilot, lambda: options.option_count > 10, "commands in the palette")
        titles = "\n".join(str(option.prompt) for option in options.options)
        assert "Stop" not in titles
        assert "Log axis" in titles
        await pilot.press(*"linear")
        await until(pilot, lambda: options.option_count == 1, "one command left")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: not app.prefs.chart_log, "a linear axis")


async def test_jump_mode_gives_the_focus() -> None:
    make_run("one", **SHORT)
    app = make_app("train", run="one")
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await train_screen(pilot, 24)
        before = screen.focused
        await pilot.press("semicolon")
        assert isinstance(app.screen, JumpScreen)
        await pilot.press("s")
        await pilot.pause()
        assert screen.focused is not None
        assert screen.focused is not before
        await pilot.press("semicolon", "escape")
        assert app.screen is screen


async def test_theme_is_remembered_and_zero_resets() -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("at")
        await until(pilot, lambda: preferences.load().theme == "bas-light", "the stored theme")
        app.remember(runs_filter="x", chart_log=False)
        await pilot.press("0")
        await until(pilot, lambda: app.theme == "bas-dark", "the default theme")
    assert preferences.load() == Prefs()


async def test_picture_blocks_are_switched_and_remembered() -> None:
    app = make_app(terminal=Terminal(sharpest="sextant"))
    async with app.run_test(size=(100, 30)) as pilot:
        for expected in ("half", "quadrant", "sextant", "sextant"):
            await pilot.press("asterisk")
            await until(pilot, lambda word=expected: word in message_of(app), expected)
            assert app.terminal.picture_blocks == expected
        assert app.prefs.blocks == ""
        app.remember(blocks="half")
        await until(pilot, lambda: preferences.load().blocks == "half", "the stored blocks")
    assert make_app(terminal=Terminal(sharpest="sextant")).terminal.picture_blocks == "half"


async def test_copy_says_what_was_tried_and_shows_the_text_when_asked_again(
    bas_home: Path,
) -> None:
    make_run("one", **SHORT)
    app = make_app(terminal=Terminal(clipboard=False))
    async with app.run_test(size=(100, 30)) as pilot:
        await runs_screen(pilot, 1)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, CopyDialog), "the text")
        text = screen_text(app)
        assert "one" in text and "takes no copies" in text and app.copier.unprinted == "one"
        await pilot.press("w")
        assert (bas_home / "runs" / "one" / "copied.txt").read_text() == "one\n"
        await until(pilot, lambda: "copied.txt" in message_of(app), "where it was written")
        app.terminal = Terminal()
        await pilot.press("y")
        await until(pilot, lambda: "one - sent to the clipboard" in message_of(app), "the message")
        assert not isinstance(app.screen, CopyDialog)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, CopyDialog), "the text again")
        await until(pilot, lambda: "may refuse that" in screen_text(app), "what was tried")


async def test_every_action_shows_its_command() -> None:
    make_run("one", **SHORT)
    app = make_app()
    async with app.run_test(size=(110, 40)) as pilot:
        await runs_screen(pilot, 1)
        await pilot.press("exclamation_mark")
        assert isinstance(app.screen, CommandsScreen)
        await pilot.pause()
        text = screen_text(app)
        assert "bas attach one" in text
        assert 'bas gen "a photo of <teapot> and <penguin>" --run one' in text
        await pilot.press("enter")
        await until(pilot, lambda: "bas attach one - sent" in message_of(app), "the copy")


async def test_a_small_window_asks_for_room() -> None:
    app = make_app()
    async with app.run_test(size=(MIN_WIDTH - 1, MIN_HEIGHT)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TooSmall), "the question for room")
        assert f"{MIN_WIDTH} x {MIN_HEIGHT}" in screen_text(app)
        await pilot.resize_terminal(MIN_WIDTH, MIN_HEIGHT)
        await until(pilot, lambda: not isinstance(app.screen, TooSmall), "the screen again")
        await pilot.resize_terminal(MIN_WIDTH, MIN_HEIGHT - 1)
        await until(pilot, lambda: isinstance(app.screen, TooSmall), "the question for room")
        assert "ctrl+q" in screen_text(app)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app.return_code == 0, "the end")


async def test_the_keymap_file_counts(bas_home: Path) -> None:
    (bas_home / "config").mkdir(parents=True)
    (bas_home / "config" / "keymap.toml").write_text('[keys]\n"app.theme" = "Z"\n"no.key" = "x"\n')
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "no.key" in message_of(app), "a warning about no.key")
        await pilot.press("at")
        assert app.theme == "bas-dark"
        await pilot.press("Z")
        assert app.theme == "bas-light"


async def test_a_keymap_is_written_once(bas_home: Path) -> None:
    app = make_app()
    path = bas_home / "config" / "keymap.toml"
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("percent_sign")
        assert '"train.pause"' in path.read_text()
        path.write_text("[keys]\n")
        await pilot.press("percent_sign")
        assert path.read_text() == "[keys]\n"


@pytest.mark.parametrize("terminal", [Terminal(ascii=True), Terminal(ascii=True, colors=0)])
async def test_ascii_mode_writes_ascii_only(terminal: Terminal) -> None:
    make_run("one", concepts=3, **SHORT)
    for screen in ("runs", "train"):
        app = make_app(screen, terminal=terminal, run="one")
        async with app.run_test(size=(120, 36)) as pilot:
            if screen == "runs":
                await runs_screen(pilot, 1)
            else:
                await train_screen(pilot, 24)
            await pilot.pause()
            text = screen_text(app)
            assert text.isascii(), [char for char in text if not char.isascii()]
            if screen == "train":
                assert "AAA" in text


async def test_without_colours_none_is_written() -> None:
    make_run("one", **SHORT)
    app = make_app("train", terminal=Terminal(colors=0), run="one")
    async with app.run_test(size=(120, 36)) as pilot:
        await train_screen(pilot, 24)
        await pilot.pause()
        for strip in screen_strips(app):
            for segment in strip:
                style = segment.style
                assert style is None or style.color is None or style.color.is_default
                assert style is None or style.bgcolor is None or style.bgcolor.is_default


async def test_leaving_asks_only_when_something_would_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await runs_screen(pilot, 0)
        monkeypatch.setattr(screen, "unsaved", lambda: "2 painted masks are not saved")
        await pilot.press("q")
        assert isinstance(app.screen, Confirm)
        await pilot.pause()
        assert "2 painted masks" in screen_text(app)
        await pilot.press("n")
        assert app.is_running
        monkeypatch.setattr(screen, "unsaved", lambda: "")
        await pilot.press("q")
        await asyncio.sleep(0)
    assert app.return_value == 0


async def test_an_empty_library_says_how_to_begin() -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await runs_screen(pilot, 0)
        await until(pilot, lambda: "bas demo" in screen_text(app), "the way to begin")
        assert isinstance(screen.focused, RunList)


async def test_keys_typed_while_a_dialog_opens_are_its_own() -> None:
    app = make_app()
    answers: list[object] = []

    def type_(*keys: str) -> None:
        for key in keys:
            app.post_message(events.Key(key, key if len(key) == 1 else None))

    async with app.run_test(size=(100, 30)) as pilot:
        await runs_screen(pilot, 0)
        app.push_screen(Ask("a name"), answers.append)
        type_(*"abc", "enter")
        await until(pilot, lambda: answers == ["abc"], "the typed name")
        app.push_screen(Confirm("sure?"), answers.append)
        type_("y")
        await until(pilot, lambda: answers == ["abc", True], "the answer")
        type_("colon", *"theme")

        def palette() -> bool:
            screen = app.screen
            return isinstance(screen, CommandPalette) and screen.query_one(Input).value == "theme"

        await until(pilot, palette, "the search")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count > 1, "its end")
        await pilot.press("escape")


async def test_the_footer_shows_only_keys_that_work_where_the_focus_is() -> None:
    make_run("one", **SHORT)
    app = make_app("compose", run="one")
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: bool(app.screen.header.run), "the run")  # pyright: ignore
        line = screen_text(app).splitlines()[-1]
        assert "⏎ Draw" in line and "esc Keys" in line
        for dead in (" g ", " p ", " r ", "Run"):
            assert dead not in line
        await pilot.press("escape")
        await pilot.pause()
        line = screen_text(app).splitlines()[-1]
        assert "g Draw" in line and "r Run" in line and "esc Keys" not in line
