"""The Compose screen: completion, tokens, history, settings, gallery, drawing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from bas_tui import client
from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.compose.drawing_queue import DrawingQueue
from bas_tui.tui.compose.drawing_state import Drawing
from bas_tui.tui.compose.prompt_editing import (
    Completion,
    History,
    Typed,
    complete,
    completions,
    insert,
    read_history,
    write_history,
)
from bas_tui.tui.compose.prompt_settings import DrawSettings
from bas_tui.tui.compose.screen import ComposeScreen
from bas_tui.tui.drawing.tile_layout import default_width, grid, side_by_side
from bas_tui.tui.shell.keybar import KeyBar
from bas_tui.tui.shell.picture_files import list_pictures, read_picture, save_copy
from engine.core.errors import UserError
from engine.results.pictures import save_generated, save_sheet
from engine.runs.events import (
    GenerationEnded,
    GenerationStarted,
    GenerationStep,
    PictureSaved,
    Progress,
)
from engine.runs.folder import RunDir, runs_dir
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from tests.tui.pilots import app_of, screen_text, until

CONCEPTS = (
    ConceptEntry(token="<asset0>", name="teapot", initializer=""),
    ConceptEntry(token="<asset1>", name="penguin", initializer="bird"),
)


def make_run(name: str, pictures: int = 0, prompt: str = "<teapot> in snow") -> RunDir:
    run = RunDir(runs_dir() / name)
    run.path.mkdir(parents=True)
    run.concepts.mkdir()
    (run.concepts / "concepts.json").write_text("{}")
    write_manifest(
        run,
        Manifest(
            name=name, created=1.0, base="pocket", scene_source="", concepts=CONCEPTS,
            settings={"sampling.steps": 20, "sampling.guidance": 3.0},
        ),
    )  # fmt: skip
    drawn = []
    for seed in range(pictures):
        pixels = np.full((16, 16, 3), 40 * seed + 20, np.uint8)
        recipe = {"prompt": prompt, "negative": "blur", "seed": seed, "steps": 20,
                  "guidance": 3.0, "run": name, "base": "pocket"}  # fmt: skip
        save_generated(pixels, run.pictures, f"picture-{seed}", recipe)
        drawn.append(pixels)
    if pictures > 1:
        save_sheet(drawn, run.pictures, "picture-0-sheet")
    return run


@asynccontextmanager
async def composing(run: RunDir, size: tuple[int, int] = (100, 32)):
    app = BasApp(Start(screen="compose", arguments={"run": run.name}))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.1)
        await app.workers.wait_for_complete()
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, ComposeScreen)
        yield pilot, screen


def hint(screen: ComposeScreen) -> str:
    return str(screen.query_one("#hint").render())


def message(pilot: Pilot[int]) -> str:
    return pilot.app.screen.query_one(KeyBar).message


# Text


@pytest.mark.parametrize(
    ("text", "offers"),
    [
        ("a photo of <", [("<teapot>", 0), ("<penguin>", 1)]),
        ("a photo of <pe", [("<penguin>", 1)]),
        ("<as", [("<asset0>", 0), ("<asset1>", 1)]),
        ("<2", [("<asset1>", 1)]),
        ("<3", []),
        ("<teapot> and", []),
        ("teapot", []),
    ],
)
def test_completions(text: str, offers: list[tuple[str, int]]) -> None:
    assert completions(Typed(text, len(text)), CONCEPTS) == [Completion(*offer) for offer in offers]


def test_tokens_go_in_with_blanks_where_words_would_touch() -> None:
    assert insert(Typed("a photo of", 10), "<asset0>") == Typed("a photo of <asset0> ", 20)
    assert insert(Typed("in snow", 0), "<asset0>") == Typed("<asset0> in snow", 9)
    assert insert(Typed("a , b", 2), "<asset0>") == Typed("a <asset0>, b", 10)
    # Behind other tokens the run's grammar joins them.
    assert insert(Typed("of <a> ", 7), "<b>").text == "of <a> and <b> "
    assert insert(Typed("of <a> and <b> ", 15), "<c>").text == "of <a> and <b> and <c> "
    assert insert(Typed("of <a> and <b> ", 15), "<c>", "comma").text == "of <a>, <b> and <c> "
    assert insert(Typed("<a>, <b> and <c>", 16), "<d>", "comma").text == "<a>, <b>, <c> and <d> "
    assert insert(Typed("<a> on <b> in snow", 10), "<c>").text == "<a> on <b> and <c> in snow"
    assert insert(Typed("<a> in ", 7), "<b>").text == "<a> in <b> "
    assert complete(Typed("a <te in snow", 5), "<teapot>") == Typed("a <teapot> in snow", 10)
    assert complete(Typed("a <teapot> x", 5), "<penguin>") == Typed("a <penguin> x", 11)


def test_history_goes_back_and_comes_forth_to_the_draft() -> None:
    history = History(["one", "two"])
    assert [history.earlier("draft"), history.earlier("two"), history.earlier("one")] == [
        "two", "one", "one",
    ]  # fmt: skip
    assert [history.later("one"), history.later("two")] == ["two", "draft"]
    history.add("one")
    assert history.prompts == ["two", "one"]
    run = make_run("kept")
    write_history(run, history)
    assert read_history(run).prompts == ["two", "one"]


def test_typed_settings() -> None:
    settings = DrawSettings().typed("seed", "7").typed("steps", "30").typed("guidance", "2.5")
    assert (settings.used_seed, settings.steps, settings.guidance) == (7, 30, 2.5)
    assert settings.typed("seed", "").used_seed is None
    own = DrawSettings(steps=20, guidance=3.0)
    assert DrawSettings().stepped("steps", 1, own).steps == 25
    assert DrawSettings().stepped("guidance", -1, own).guidance == 2.0
    assert DrawSettings().stepped("strength", -1, DrawSettings(strength=1.0)).strength == 0.9
    for field, text in (
        ("strength", "2.5"),
        ("seed", "-1"),
        ("count", ""),
        ("count", "65"),
        ("steps", "many"),
    ):
        with pytest.raises(UserError):
            settings.typed(field, text)  # pyright: ignore[reportArgumentType]


def test_a_picture_is_found_and_copied(tmp_path: Path) -> None:
    run = make_run("tea", 3)
    pictures = list_pictures(run)
    assert sorted(picture.recipe.seed or 0 for picture in pictures) == [0, 1, 2], "no sheet"
    copy = save_copy(pictures[0], tmp_path / "kept")
    assert copy.read_bytes() == pictures[0].path.read_bytes()
    with pytest.raises(UserError):
        save_copy(pictures[0], copy)
    (tmp_path / "torn.png").write_bytes(copy.read_bytes()[:40])
    assert read_picture(tmp_path / "torn.png") is None


@pytest.mark.parametrize("room", [(78, 16), (78, 21), (118, 24), (198, 48), (30, 6)])
def test_tiles_fit_the_room(room: tuple[int, int]) -> None:
    width, height = room
    shape = grid(width, height, default_width(width, height))
    assert shape.columns * (shape.tile_width + 2) - 2 <= width and shape.tile_height <= height
    for count in (1, 2, 3, 4, 7):
        places = side_by_side(count, width, height)
        cells = {(y, x) for p in places for y in range(p.row, p.row + p.height)
                 for x in range(p.column, p.column + p.width)}  # fmt: skip
        assert len(cells) == sum(p.width * p.height for p in places), "no two overlap"


def drawing_events(run: RunDir, path: Path) -> Iterator[tuple[object, str, float]]:
    head = {"run": run.name, "prompt": "x", "seed": 5, "count": 2, "steps": 10, "guidance": 3.0}
    yield Progress(stage="load", done=1, total=4, label="loading"), "loading 1 of 4", 0.0
    yield GenerationStarted(request="r", **head), "", 0.0
    yield GenerationStep(request="r", index=0, step=10, steps=10), "", 0.5
    yield PictureSaved(request="r", index=0, path=str(path), seed=5), "", 0.5
    yield GenerationStep(request="r", index=1, step=5, steps=10), "", 0.75
    yield GenerationEnded(request="r", outcome="cancelled"), "", 0.75


def test_a_drawing_follows_its_events() -> None:
    from bas_tui.client import GenerationRequest

    run = make_run("tea", 1)
    path = run.pictures / "picture-0.png"
    drawing = Drawing(request=GenerationRequest(run=run, prompt="x", out=run.pictures, count=2))
    for event, stage, fraction in drawing_events(run, path):
        drawing = drawing.after(event)  # pyright: ignore[reportArgumentType]
        assert drawing.stage == stage and drawing.fraction == fraction
    assert [tile.path for tile in drawing.tiles()] == [path], "an ended drawing waits for nothing"


# Screen


async def test_completion_numbers_and_unknown_tokens_while_typing() -> None:
    async with composing(make_run("tea")) as (pilot, screen):
        await pilot.press(*"a", "space", "less_than_sign")
        assert "<teapot>" in hint(screen) and "<penguin>" in hint(screen)
        await pilot.press("down", "tab")
        assert screen.prompts.prompt.value == "a <penguin> "
        await pilot.press("less_than_sign", "1", "enter")
        assert screen.prompts.prompt.value == "a <penguin> <asset0> "
        await pilot.press("less_than_sign", "x", "greater_than_sign")
        assert "no token <x>" in hint(screen) and "<asset1> (<penguin>)" in hint(screen)
        await pilot.press("enter")
        await pilot.pause()
        assert "token <x>" in message(pilot) and screen.queue.current is None
        await pilot.press("backspace", "backspace", "backspace", "escape", "2")
        assert screen.prompts.prompt.value == "a <penguin> <asset0> and <asset1> "
        chips = screen.query_one("TokenChips")
        await pilot.click(chips, offset=(4, 0))
        assert screen.prompts.prompt.value.endswith("<asset0> ")


async def test_history_is_kept_per_run() -> None:
    run = make_run("tea")
    write_history(run, History(["<teapot> on a beach", "<penguin>"]))
    async with composing(run) as (pilot, screen):
        await pilot.press("up", "up")
        assert screen.prompts.prompt.value == "<teapot> on a beach"
        await pilot.press("down", "down")
        assert screen.prompts.prompt.value == ""


async def test_gallery_chooses_marks_compares_reuses_and_deletes() -> None:
    run = make_run("tea", 4)
    async with composing(run) as (pilot, screen):
        gallery = screen.gallery
        assert len(gallery.tiles) == 4
        await pilot.press("escape")
        assert gallery.has_focus
        await pilot.press("space", "right", "space", "c")
        assert gallery.mode == "compare" and len(gallery.compared()) == 2
        await pilot.press("escape", "enter")
        assert gallery.mode == "large"
        chosen = gallery.current
        assert chosen is not None
        await pilot.press("u")
        assert (
            screen.prompts.prompt.value == chosen.recipe.prompt and screen.prompts.prompt.has_focus
        )
        assert screen.prompts.settings.settings.used_seed == chosen.recipe.seed
        assert "--negative blur" in screen.command_values()["picture_command"]
        await pilot.press("escape", "D")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert not chosen.path.exists() and len(gallery.tiles) == 3


async def test_a_new_drawing_is_in_view(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[client.GenerationRequest] = []
    monkeypatch.setattr(client, "check_learned", lambda _run: None)
    monkeypatch.setattr(DrawingQueue, "_hand_in", lambda _queue, request: asked.append(request))
    async with composing(make_run("tea", 5)) as (pilot, screen):
        gallery = screen.gallery
        await pilot.press("escape", "end")
        assert gallery.selected == 4
        await pilot.press("g")
        await pilot.pause()
        assert len(asked) == 1
        assert len(gallery.tiles) == 5 + asked[0].count
        assert gallery.selected == 0 and gallery.tiles[0].pending
        await pilot.press("end")
        gallery.show(gallery.tiles)
        assert gallery.selected == len(gallery.tiles) - 1


async def test_one_key_cancels_from_anywhere_and_escape_never_comes_back_to_typing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "check_learned", lambda _run: None)
    monkeypatch.setattr(DrawingQueue, "_hand_in", lambda _queue, _request: None)
    async with composing(make_run("tea", 2)) as (pilot, screen):
        app, prompt = pilot.app, screen.prompts.prompt
        await pilot.press(*"in", "enter")
        assert prompt.has_focus and screen.queue.current is not None
        await pilot.pause()
        assert "^x Cancel" in screen_text(app_of(pilot)).splitlines()[-1]
        await pilot.press("x")
        assert prompt.value == "inx", "a letter is text where text is typed"
        await pilot.press("ctrl+x")
        assert screen.queue.current.cancelling and prompt.value == "inx"
        await pilot.press("ctrl+x")
        assert "cancelling: in" in message(pilot)
        await pilot.press("escape", "escape", "escape")
        assert screen.gallery.has_focus
        # From another screen, too.
        screen.queue.current = None
        await pilot.press("g", "f2")
        await pilot.pause()
        assert app.screen is not screen and screen.queue.current is not None
        await pilot.press("ctrl+x")
        assert screen.queue.current.cancelling


async def test_pictures_of_several_runs_are_compared() -> None:
    first, second = make_run("tea", 2), make_run("owl", 2, "<penguin> at sea")
    async with composing(first) as (pilot, screen):
        await pilot.press("escape", "r")
        await until(pilot, lambda: "tea   teapot, penguin" in screen_text(app_of(pilot)), "a list")
        await pilot.press(*"owl", "enter")
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert screen.runs.run == second and screen.header.run == "owl"
        assert len(screen.gallery.tiles) == 4 and screen.gallery.runs == 2
        await pilot.press("escape", "space", "end", "space", "c")
        runs = {tile.picture.recipe.run for tile in screen.gallery.compared() if tile.picture}
        assert runs == {"tea", "owl"}


async def test_settings_by_keys_and_by_mouse() -> None:
    async with composing(make_run("tea")) as (pilot, screen):
        await pilot.press("escape", "d")
        seed = screen.prompts.settings.settings.used_seed
        assert seed is not None
        await pilot.press("L")
        assert screen.prompts.settings.settings.used_seed is None
        await pilot.press("e", "right", "down", "right", "enter", *"12", "enter")
        await pilot.pause()
        assert (
            screen.prompts.settings.settings.count == 3
            and screen.prompts.settings.settings.steps == 12
        )
        text = str(screen.prompts.settings.render())
        place = text.index("guidance") + len("guidance ")
        await pilot.click(screen.prompts.settings, offset=(place, 0))
        assert screen.prompts.settings.settings.guidance == 2.0
        assert "--steps 12 --guidance 2" in screen.command_values()["options"]
        await pilot.press("right", "right", "down", "down")
        assert screen.prompts.settings.settings.strength == 0.8
        assert "--strength 0.8" in screen.command_values()["options"]
        assert screen.prompts.request(step_previews=False).strength == 0.8
        screen.prompts.settings.own = DrawSettings()
        assert "strength" not in str(screen.prompts.settings.render())
        assert screen.prompts.request(step_previews=False).strength == 1.0


async def test_a_run_that_learned_nothing_says_what_to_do() -> None:
    run = make_run("new")
    (run.concepts / "concepts.json").unlink()
    async with composing(run) as (pilot, screen):
        await pilot.press("enter")
        await pilot.pause()
        assert "bas resume new" in message(pilot) and " - " in message(pilot)
        assert screen.queue.current is None


async def test_no_run_at_all_is_one_line() -> None:
    app = BasApp(Start(screen="compose"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.5)
        screen = app.screen
        assert isinstance(screen, ComposeScreen)
        assert "no runs yet" in hint(screen)
        await pilot.press("enter")
        await pilot.pause()
        assert "press r" in message(pilot)


async def test_the_gallery_follows_pictures_drawn_and_deleted_elsewhere(bas_home: Path) -> None:
    real = make_run("tea", 3)
    # The way to a run may lead through links (macOS' /tmp does); its host names real paths.
    real.path.rename(bas_home / "moved")
    real.path.symlink_to(bas_home / "moved", target_is_directory=True)
    run = RunDir(bas_home / "moved")
    async with composing(real) as (pilot, screen):
        await until(pilot, lambda: len(screen.gallery.tiles) == 3, "the pictures")
        screen.set_focus(screen.gallery)
        await pilot.press("right")
        chosen = screen.gallery.current
        recipe = {"prompt": "<penguin> at sea", "seed": 9, "run": "tea"}
        path = save_generated(
            np.zeros((16, 16, 3), np.uint8), run.pictures, "sea", recipe
        ).resolve()
        await until(pilot, lambda: len(screen.gallery.tiles) == 4, "the picture of somebody else")
        assert "drawn elsewhere" in message(pilot)
        assert screen.gallery.tiles[0].path == path and screen.gallery.current == chosen
        path.unlink()
        await until(pilot, lambda: len(screen.gallery.tiles) == 3, "its end")
        assert screen.gallery.current == chosen
