"""The Scene screen by Pilot: mouse, keyboard alone, undo, box, files, plan, recovery."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from textual.events import MouseScrollUp
from textual.pilot import Pilot
from textual.widgets import Input, Static

from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.mask_grids import MaskGrids
from bas_tui.tui.scene.mask_legend import MaskLegend
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.scene.plan_panel import PlanPanel
from bas_tui.tui.scene.screen import SceneScreen
from bas_tui.tui.shell.keybar import KeyBar
from engine.scenes.pixel_box import Point
from tests.tui.pilots import until
from tests.tui.synthetic import disc, scene_picture


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "desk.png"
    Image.fromarray(scene_picture(2, 128)).save(path)
    return path


@pytest.fixture
def masked(photo: Path) -> Path:
    """The photo with its masks in a folder beside it."""
    folder = photo.with_name("desk_masks")
    folder.mkdir()
    for index, name in enumerate(("teapot", "penguin")):
        mask = (disc(index, 128) > 0.5).astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / f"{name}.png")
    return photo


@asynccontextmanager
async def scene(path: Path, size: tuple[int, int] = (100, 32), terminal: Terminal | None = None):
    app = BasApp(Start(screen="scene", arguments={"scene": path}), terminal=terminal)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.1)
        screen = app.screen
        assert isinstance(screen, SceneScreen)
        yield pilot, screen


async def drag(pilot: Pilot[int], *places: tuple[int, int], button: int = 1) -> None:
    await pilot.mouse_down(MaskCanvas, offset=places[0], button=button)
    for place in places[1:]:
        await pilot.hover(MaskCanvas, offset=place)
    await pilot.mouse_up(MaskCanvas, offset=places[-1])
    await pilot.pause()


def message(pilot: Pilot[int]) -> str:
    return str(pilot.app.screen.query_one(KeyBar).message)


async def test_a_picture_without_masks_opens_empty_and_takes_a_mouse_stroke(photo: Path) -> None:
    before = photo.read_bytes()
    async with scene(photo) as (pilot, screen):
        assert screen.document is not None and screen.document.concepts == ()
        view = screen.canvas.view
        assert view is not None
        x, y = view.offset
        assert screen.canvas.state.tool == "find", "a bare photo's things are found first"
        await pilot.press("b")
        await drag(pilot, (x + 5, y + 5), (x + 15, y + 5), (x + 15, y + 10))
        assert [c.name for c in screen.document.concepts] == ["asset0"]
        mask = screen.document.mask(screen.document.concepts[0].key)
        for column, row in ((5, 5), (10, 5), (15, 8), (15, 10)):
            at = view.to_picture(x + column + 0.5, 2 * (y + row) + 1)
            assert mask[int(at.y), int(at.x)], (column, row)
        assert not mask[-1, -1]
        assert screen.document.history.depth() == (1, 0), "the concept and its stroke"
        painted = int(mask.sum())
        await pilot.press("u")
        assert screen.document.concepts == (), "no empty concept is left behind"
        await pilot.press("U")
        assert screen.document.mask(screen.document.concepts[0].key).sum() == painted > 0
        assert screen.header.state == "unsaved"
    assert photo.read_bytes() == before


async def test_right_button_erases_and_the_wheel_changes_the_brush(masked: Path) -> None:
    async with scene(masked) as (pilot, screen):
        assert screen.document is not None
        first = screen.document.concepts[0].key
        area = screen.document.coverage(first)
        view = screen.canvas.view
        assert view is not None
        rows, columns = np.nonzero(screen.document.mask(first))
        column, half_row = view.to_dots(Point(float(columns.mean()), float(rows.mean())))
        place = (int(column) + view.offset[0], int(half_row) // 2 + view.offset[1])
        await drag(pilot, place, (place[0] + 1, place[1]), button=3)
        assert 0 < screen.document.coverage(first) < area
        size = screen.canvas.state.size
        wheel = {"button": 0, "shift": False, "meta": False, "ctrl": False}
        screen.canvas.post_message(
            MouseScrollUp(screen.canvas, *place, delta_x=0, delta_y=-1, **wheel)
        )
        await pilot.pause()
        assert screen.canvas.state.size == size + 1


async def test_painting_wholly_by_keyboard(photo: Path) -> None:
    async with scene(photo) as (pilot, screen):
        await pilot.press("n", *"hat", "enter")
        await pilot.pause()
        assert screen.document is not None
        key = screen.document.concepts[0].key
        assert screen.document.concepts[0].name == "hat"
        start = screen.canvas.cursor
        await pilot.press("b", "space")
        dab = screen.document.coverage(key)
        assert dab > 0
        await pilot.press("p", "L", "l", "p", "L")
        mask, view = screen.document.mask(key), screen.canvas.view
        assert view is not None
        for step in range(10):
            assert mask[int(start.y), int(start.x + step * view.scale)], step
        lifted = screen.document.coverage(key)
        await pilot.press("l", "l")
        assert screen.document.coverage(key) == lifted, "a lifted pen paints nothing"
        await pilot.press("e", "space")
        assert screen.document.coverage(key) < lifted
        await pilot.press("i")
        assert screen.document.coverage(key) > 0.5
        await pilot.press("u", "u", "u", "u")
        assert screen.document.coverage(key) == 0


async def test_zoom_reaches_single_pixels_and_follows_the_brush(photo: Path) -> None:
    async with scene(photo) as (pilot, screen):
        await pilot.press("b", *["plus"] * 12, *["left_square_bracket"] * 16, "space")
        assert screen.canvas.view is not None and screen.canvas.view.scale == 0.25
        assert screen.document is not None
        assert screen.document.mask(screen.document.concepts[0].key).sum() == 1
        await pilot.press(*["L"] * 20)
        crop = screen.canvas.view.crop
        assert crop.x0 <= screen.canvas.cursor.x < crop.x1
        await pilot.press("z")
        assert screen.canvas.view.zoom == 0


async def found(pilot: Pilot[int], screen: SceneScreen) -> list[np.ndarray]:
    """The candidates, once the segmenter's process has them."""
    for _ in range(1200):
        proposal = screen._things.proposal
        if proposal is not None and proposal.candidates:
            await pilot.pause()
            return [candidate.mask for candidate in proposal.candidates]
        await pilot.pause(0.1)
    raise AssertionError("nothing was found")


async def test_things_are_found_by_clicks_boxes_and_keys(photo: Path) -> None:
    other = photo.with_name("other.png")
    Image.fromarray(scene_picture(2, 64)).save(other)
    truths = [disc(index, 128) > 0.5 for index in range(2)]

    def iou(mask: np.ndarray, truth: np.ndarray) -> float:
        return float((mask & truth).sum() / (mask | truth).sum())

    async with scene(photo) as (pilot, screen):
        view, document = screen.canvas.view, screen.document
        assert view is not None and document is not None

        def cell(y: float, x: float) -> tuple[int, int]:
            column, half_row = view.to_dots(Point(x, y))
            return int(column) + view.offset[0], int(half_row) // 2 + view.offset[1]

        middles = [tuple(np.argwhere(truth).mean(axis=0)) for truth in truths]
        await drag(pilot, cell(*middles[0]), button=3)
        assert "first" in message(pilot) and screen._things.proposal is None
        await drag(pilot, cell(*middles[0]))
        assert not screen.canvas.state.corner
        masks = await found(pilot, screen)
        assert max(iou(mask, truths[0]) for mask in masks) > 0.8
        assert document.concepts == (), "nothing is taken before it is accepted"
        tools = screen.query_one(MaskTools)
        assert tools.found.startswith("1/") and "enter" in tools.render().plain
        # What is not of it narrows it; undo takes that click back, and A goes through all.
        await drag(pilot, cell(*middles[1]), button=3)
        assert not any(
            mask[int(middles[1][0]), int(middles[1][1])] for mask in await found(pilot, screen)
        )
        await pilot.press("u")
        masks = await found(pilot, screen)
        best = int(np.argmax([iou(mask, truths[0]) for mask in masks]))
        await pilot.press(*["A"] * best, "enter")
        assert [c.name for c in document.concepts] == ["asset0"]
        assert np.array_equal(document.mask(0), masks[best]) and screen.canvas.preview is None
        assert document.history.depth() == (1, 0)
        # By keyboard: a box of two corners, dropped, then taken into a named, empty concept.
        rows, columns = np.nonzero(truths[1])
        for key in ("escape", "enter"):
            await pilot.press("n", *key[:3], "enter", "x")
            for y, x in ((rows.min() - 3, columns.min() - 3), (rows.max() + 3, columns.max() + 3)):
                screen.canvas.cursor = Point(float(x), float(y))
                await pilot.press("space")
            masks = await found(pilot, screen)
            await pilot.press(key)
            assert screen._things.proposal is None
            if key == "escape":
                assert document.coverage(screen.canvas.current) == 0
                await pilot.press("u")
        assert [c.name for c in document.concepts] == ["asset0", "ent"]
        assert iou(document.mask(document.concepts[1].key), truths[1]) > 0.8
        await pilot.press("u", "w")
        assert document.coverage(document.concepts[1].key) == 0, "one step, as a stroke is"
        assert "reads no words" in message(pilot)
        # What was found on one picture is nothing on another.
        await pilot.press("d", "space")
        await found(pilot, screen)
        screen.files.open_path(other)
        assert screen._things.proposal is None and not tools.found
        pid = screen._things._finder and screen._things._finder.host.pid
    assert pid is not None
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the segmenter outlived its window")


async def test_concepts_are_renamed_reordered_deleted_and_checked_live(masked: Path) -> None:
    async with scene(masked) as (pilot, screen):
        assert screen.document is not None and screen.inspection is not None
        assert [c.name for c in screen.document.concepts] == ["penguin", "teapot"]
        assert screen.inspection.error is None and not screen.inspection.findings
        await pilot.press("W", *"bird", "enter", "greater_than_sign")
        assert [(c.name, c.initializer) for c in screen.document.concepts] == [
            ("teapot", ""), ("penguin", "bird"),
        ]  # fmt: skip
        await pilot.press("r", *["backspace"] * 7, *"teapot", "enter")
        await pilot.pause()
        assert "already" in str(pilot.app.screen.query_one("#remark").render())
        await pilot.press("escape", "2", "i")
        assert any("inverted" in f.message for f in screen.inspection.findings)
        await pilot.press("u", "B")
        assert [c.name for c in screen.document.concepts][-1] == "background"
        # The check box below the concepts: two clicks leave it as it was.
        await pilot.click(MaskLegend, offset=(1, 4))
        assert [c.name for c in screen.document.concepts] == ["teapot", "penguin"]
        await pilot.click(MaskLegend, offset=(1, 3))
        assert [c.name for c in screen.document.concepts][-1] == "background"
        screen.set_focus(screen.canvas)
        await pilot.press("D", "1", "D")
        assert [c.name for c in screen.document.concepts] == ["penguin"]
        legend = pilot.app.screen.query_one(MaskLegend).state
        assert legend.current == screen.document.concepts[0].key
        await pilot.press("c")
        assert screen.inspection.error is not None
        await pilot.press("t")
        await pilot.pause()
        assert "empty" in message(pilot)


async def test_saving_asks_for_the_folder_and_reads_back_the_same(masked: Path) -> None:
    async with scene(masked) as (pilot, screen):
        assert screen.document is not None
        await pilot.press("g", "s")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        folder = masked.with_name("desk_masks2")
        assert screen.files.save_folder == folder, "the folder they came from is not the default"
        assert screen.header.state == ""
        with Image.open(folder / "penguin.png") as file:
            assert np.array_equal(
                np.array(file) > 0, screen.document.mask(screen.document.concepts[0].key)
            )
        await pilot.press("G", "s")
        await pilot.pause()
        assert not screen.document.dirty, "the second time it does not ask"
        shutil.rmtree(folder)
        folder.write_text("a file in the folder's place")
        await pilot.press("g", "s")
        await pilot.pause()
        remark = pilot.app.screen.query_one("#remark")
        assert "File exists" in str(remark.render()), "it asks again, and says why"
        line = pilot.app.screen.query_one(Input)
        line.value = str(masked.with_name("x" * 300))
        await until(pilot, lambda: "name too long" in str(remark.render()), "the complaint")
        line.value = str(masked.with_name("else"))
        await pilot.press("enter")
        await until(pilot, lambda: screen.files.save_folder == masked.with_name("else"), "saved")


async def test_unsaved_painting_comes_back_and_can_be_dropped(masked: Path) -> None:
    async with scene(masked) as (pilot, screen):
        await pilot.press("i", "n", *"cup", "enter")
        assert screen.document is not None
    async with scene(masked) as (pilot, screen):
        assert screen.document is not None
        assert [c.name for c in screen.document.concepts] == ["penguin", "teapot", "cup"]
        assert "is back" in message(pilot)
        await pilot.press("X")
        assert [c.name for c in screen.document.concepts] == ["penguin", "teapot"]
        assert screen.document.coverage(screen.document.concepts[0].key) < 0.5


async def test_the_plan_is_changed_by_keys_and_says_whose_estimate_it_is(masked: Path) -> None:
    async with scene(masked) as (pilot, screen):
        panel = screen.query_one(PlanPanel)
        await pilot.press("a")
        assert panel.has_focus
        while panel.plan.base != "sd21":
            await pilot.press("right")
        await pilot.press("down", "right")
        assert panel.plan.config().phase1.steps == 600
        await pilot.press("e", *"loss.prior_weight", "equals_sign", "0", "enter")
        await pilot.pause()
        assert panel.plan.config().loss.prior_weight == 0
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert panel.outlook is not None and panel.outlook.source
        assert "estimate" in str(panel.render()) and "main memory" not in str(panel.render())
        panel.outlook = dataclasses.replace(panel.outlook, main_memory=(7.6, 10.9))
        assert "8-11 GB of main memory" in str(panel.render())
        await pilot.press("e", "ctrl+u", *"nonsense", "enter")
        await pilot.pause()
        assert "key=value" in str(pilot.app.screen.query_one("#remark").render())
        await pilot.press("escape")
        command = screen.command_values()
        assert command["settings"] == " --set phase1.steps=600 --set loss.prior_weight=0.0"
        assert command["base"] == "sd21"


async def test_a_photo_that_is_not_square_shows_the_training_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(np.hstack([scene_picture(1, 96), scene_picture(1, 96)])).save(path)
    async with scene(path) as (pilot, screen):
        assert screen.canvas.square is not None and screen.canvas.square.width == 96
        await pilot.press("b", "H", "H", "H", "H", "space")
        square = screen.canvas.square
        assert square is not None and square.x0 <= screen.canvas.cursor.x < square.x1


@pytest.mark.parametrize(
    "terminal", [Terminal(ascii=True), Terminal(colors=0), Terminal(colors=16)]
)
async def test_few_colours_and_ascii_show_the_masks(masked: Path, terminal: Terminal) -> None:
    async with scene(masked, terminal=terminal) as (_, screen):
        cells = screen.canvas.cells
        letters = {chr(code) for code in np.unique(cells.chars)}
        if terminal.blocks:
            assert "▀" in letters
        else:
            assert {"A", "b"} <= letters and all(letter.isascii() for letter in letters)


async def test_everything_needed_fits_80_columns_and_24_lines(masked: Path) -> None:
    async with scene(masked, size=(80, 24)) as (_, screen):
        panel = screen.query_one(PlanPanel)
        assert panel.region.bottom <= 23 and panel.region.right <= 80
        assert screen.canvas.size.width >= 40 and screen.canvas.size.height >= 20


async def test_the_attention_grid_of_the_plan_is_what_the_screen_shows(photo: Path) -> None:
    folder = photo.with_name("desk_masks")
    folder.mkdir()
    row = np.zeros((128, 128), np.uint8)
    row[33] = 255
    Image.fromarray(row).save(folder / "thread.png")
    async with scene(photo, size=(200, 60)) as (pilot, screen):
        inspection = screen.inspection
        assert inspection is not None
        assert inspection.cells[0] == 16, "as training has it, not 0"
        assert screen.query_one(MaskGrids).size.height == 9
        screen.panel.post_message(
            PlanPanel.Changed(screen.panel.plan.with_setting("loss.attention_grid", 32))
        )
        await pilot.pause(0.1)
        assert screen.inspection is not None and screen.inspection.cells[0] == 32
        assert "32x32" in str(screen.query_one("#grids-title", Static).render())
