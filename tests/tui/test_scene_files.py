"""Opening photos for editing, the scene that comes of it, the plan and its estimate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bas_tui import client
from bas_tui.tui.app import BasApp, Start
from bas_tui.tui.drawing.mask_render import Layer, compose, sample_mask, sample_picture
from bas_tui.tui.drawing.viewport import Viewport
from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.scene.photo_file import (
    at_photo_size,
    open_scene_file,
    suggested_folder,
    to_scene,
)
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.scene.screen import SceneScreen
from bas_tui.tui.scene.training_view import inspect
from engine.core.errors import UserError
from engine.models.device_guess import Device
from engine.models.plan import estimate, past_step_seconds
from engine.scenes.pixel_box import Point
from engine.scenes.scene import load_scene, save_scene, scene_hash
from tests.tui.pilots import message_of
from tests.tui.synthetic import disc, make_run, scene_picture


def write_scene(folder: Path, side: int = 128) -> Path:
    Image.fromarray(scene_picture(2, side)).save(folder / "desk.png")
    masks = folder / "desk_masks"
    masks.mkdir()
    for index, name in enumerate(("teapot", "penguin")):
        mask = (disc(index, side) > 0.5).astype(np.uint8) * 255
        Image.fromarray(mask).save(masks / f"{name}.png")
    return folder / "desk.png"


def test_the_scene_is_the_one_the_command_line_loads(tmp_path: Path) -> None:
    photo = write_scene(tmp_path)
    file = open_scene_file(photo)
    assert scene_hash(to_scene(file, file.concepts)) == scene_hash(load_scene(photo))
    turned = list(reversed(file.concepts))
    assert to_scene(file, turned).names == ("teapot", "penguin")


def test_a_large_photo_is_edited_small_and_saved_at_its_size(tmp_path: Path) -> None:
    photo = write_scene(tmp_path, 1500)
    file = open_scene_file(photo)
    assert max(file.image.shape) == 1024 and file.size == (1500, 1500)
    first, second = at_photo_size(file, file.concepts)
    assert first.mask.shape == (1500, 1500)
    assert np.array_equal(first.mask, file.full_masks[0]), "an untouched mask keeps every pixel"
    painted = second._replace(mask=~second.mask)
    (again,) = at_photo_size(file, [painted])
    true = ~file.full_masks[1]
    assert (again.mask & true).sum() / (again.mask | true).sum() > 0.99


def test_saved_scenes_and_packaged_ones_are_never_written_to(tmp_path: Path) -> None:
    save_scene(load_scene(write_scene(tmp_path)), tmp_path / "saved")
    file = open_scene_file(tmp_path / "saved")
    assert file.masks_folder is None and suggested_folder(file).parent == Path.cwd()
    assert [concept.name for concept in file.concepts] == ["penguin", "teapot"]


def test_a_missing_picture_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        open_scene_file(tmp_path / "nowhere.jpg")


async def test_a_file_that_is_no_picture_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    bad = tmp_path / "notes.png"
    bad.write_text("no picture")
    app = BasApp(Start(screen="scene", arguments={"scene": bad}))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.4)
        # Who wants no picture is left alone.
        await pilot.press("escape")
        await pilot.pause(0.5)
        assert isinstance(app.screen, SceneScreen) and "O opens one" in message_of(app)
        app.screen.open(scene=bad)
        await pilot.pause(0.1)
        remark = app.screen.query_one("#remark")
        assert "is no PNG" in str(remark.render()) and " - " in str(remark.render())
        flat = tmp_path / "f.png"
        Image.new("RGB", (900, 12)).save(flat)
        await pilot.press(*str(flat), "enter")
        await pilot.pause(0.2)
        assert "the least is 32x32" in str(remark.render()), "it could not be trained"
        await pilot.press("ctrl+u", *"nowhere", "enter")
        await pilot.pause()
        assert "there is no image nowhere" in str(remark.render())
        # Completion looks there while it is typed.
        await pilot.press("ctrl+u", *"~nobody_of_that_name/a", "enter")
        await pilot.pause()
        assert "that cannot be: Could not determine home" in str(remark.render())
        await pilot.press("ctrl+u", "enter")
        await pilot.pause()
        assert isinstance(app.screen, SceneScreen) and app.screen.file is not None


def test_inspection_counts_the_cells_of_the_training_square() -> None:
    image = np.zeros((64, 128, 3), np.uint8)
    mask = np.zeros((64, 128), bool)
    mask[16:32, 80:96] = True
    found = inspect(MaskDocument(image, [ConceptMask("cup", mask)]))
    assert found.square is not None and found.square.width == 64
    assert found.square.x0 <= 80 and found.square.x1 >= 96
    assert list(found.cells.values()) == [16] and found.error is None
    empty = inspect(MaskDocument(image))
    assert empty.error is not None and empty.error == empty.findings[0]
    apart = [np.zeros((64, 400), bool) for _ in range(2)]
    apart[0][:, :20] = apart[1][:, -20:] = True
    wide = MaskDocument(np.zeros((64, 400, 3), np.uint8),
                        [ConceptMask("a", apart[0]), ConceptMask("b", apart[1])])  # fmt: skip
    assert inspect(wide).error is not None


def test_a_viewport_maps_there_and_back_at_every_zoom() -> None:
    view = Viewport(width=512, height=384, columns=60, rows=20)
    at = Point(300.0, 200.0)
    for zoom in range(view.max_zoom + 1):
        near = view.zoomed(zoom, at)
        crop, (across, down) = near.crop, near.dots
        assert crop.x0 <= at.x < crop.x1 and crop.y0 <= at.y < crop.y1
        column, half_row = near.to_dots(at)
        back = near.to_picture(column + near.offset[0], half_row + 2 * near.offset[1])
        assert abs(back.x - at.x) < 1e-6 and abs(back.y - at.y) < 1e-6
        picture = np.zeros((384, 512, 3), np.uint8)
        assert sample_picture(picture, near).shape == (down, across, 3)
        assert down % 2 == 0 and across <= 60 and down <= 40
    assert view.zoomed(view.max_zoom, at).scale == 0.25


def test_tints_show_coverage_and_leave_the_rest_alone() -> None:
    view = Viewport(width=40, height=40, columns=40, rows=20)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    picture = np.full((40, 40, 3), 100, np.uint8)
    layer = Layer(mask, (250, 0, 0), True)
    shown = compose(picture, [(layer, sample_mask(mask, view))], "tint", 0.5)
    assert np.array_equal(shown[~mask], picture[~mask])
    assert np.array_equal(shown[20, 20], [175, 50, 50])
    cut = compose(picture, [(layer, sample_mask(mask, view))], "cut", 0.5)
    assert cut[20, 20, 0] == 100 and cut[0, 0, 0] == 12


def test_past_runs_of_the_same_base_and_device_set_the_estimate() -> None:
    run = make_run("desk", steps=(40, 40))
    base = "pocket"
    past = past_step_seconds(base, "cpu", [run])
    assert past is not None and past.phase1[0] > 0
    config = Plan(base=base).with_words("").config()
    found = estimate(base, config, Device("cpu", "2 cores"), past)
    assert found.source == "from your past runs" and found.seconds is not None
    low, high = found.seconds
    assert low <= high
    # What other settings make of the work counts, of the plan as of the runs.
    twice = Plan(base=base).with_setting("batch_size", 2 * config.batch_size).config()
    more = estimate(base, twice, Device("cpu", "2 cores"), past)
    assert more.seconds == pytest.approx((2 * low, 2 * high))
    client.change_settings(run, {"batch_size": "2", "phase2.steps": "99"})
    halved = past_step_seconds(base, "cpu", [run])
    assert halved is not None and halved.phase1[1] == pytest.approx(past.phase1[1] / 2)
    assert past_step_seconds("sd21", "cpu", [run]) is None
    assert past_step_seconds(base, "cuda", [run]) is None


@pytest.mark.parametrize("name", ["H100 80GB HBM3", "RTX 4090", "T4", "GTX 1080"])
def test_known_gpus_have_figures_and_unknown_ones_say_so(name: str) -> None:
    found = estimate("sd21", Plan(base="sd21").config(), Device("cuda", name))
    assert (found.seconds is None) == (name == "GTX 1080")
    assert name.split()[0] in found.source or name.split()[-1] in found.source
    assert bool(found.warning) == (name == "T4")


def test_a_plan_refuses_wrong_settings_and_keeps_the_old_ones() -> None:
    plan = Plan(base="sd21").with_setting("phase1.steps", "20")
    assert plan.flags() == " --set phase1.steps=20"
    assert plan.with_setting("phase1.steps", 400).changes == {}
    for words in ("phase9.steps=1", "phase1.steps=many", "steps"):
        with pytest.raises(UserError):
            plan.with_words(words)
    assert plan.with_words("loss.attention_weight=0.1").words(steps=False) == (
        "loss.attention_weight=0.1"
    )
    blank = plan.with_words("'base.vae=my vae' gradient_checkpointing=yes")
    assert blank.words(steps=False) == "'base.vae=my vae' gradient_checkpointing=true"
    assert blank.with_words(blank.words(steps=False)) == blank
    zero = plan.with_setting("phase2.steps", 0).with_setting("phase1.steps", 5)
    assert zero.stepped("phase1.steps", -1) == zero, "a run keeps at least one step"


def test_neither_screen_loads_torch() -> None:
    code = (
        "import sys, bas_tui.tui.scene.screen, bas_tui.tui.compose.screen;"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
