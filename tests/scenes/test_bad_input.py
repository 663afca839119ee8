"""Bad files: always one UserError of one line with a remedy, and nothing is written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import UserError
from engine.scenes.scene import load_scene, open_saved_scene, save_scene
from tests.scenes.bad_files import DAMAGE, SIZE, good_image, good_mask


def error_of(act: Callable[[], object]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError) as caught:
            act()
    assert caught.value.remedy and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "folder"])
def test_bad_image(tmp_path: Path, damage: str) -> None:
    make, message = DAMAGE[damage]
    make(tmp_path / "photo.png")
    mask = good_mask(tmp_path)
    assert message in error_of(lambda: load_scene(tmp_path / "photo.png", [mask]))


@pytest.mark.parametrize("damage", DAMAGE)
def test_bad_mask(tmp_path: Path, damage: str) -> None:
    make, message = DAMAGE[damage]
    make(tmp_path / "mask0.png")
    image = good_image(tmp_path)
    assert message in error_of(lambda: load_scene(image, [tmp_path / "mask0.png"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_image(tmp_path: Path) -> None:
    image, mask = good_image(tmp_path), good_mask(tmp_path)
    image.chmod(0)
    assert "may not be read" in error_of(lambda: load_scene(image, [mask]))


def test_mask_of_another_size(tmp_path: Path) -> None:
    image = good_image(tmp_path)
    Image.new("L", (48, 40), 255).save(tmp_path / "cup.png")
    said = error_of(lambda: load_scene(image, [tmp_path / "cup.png"]))
    assert "48x40" in said and "96x96" in said


def test_no_mask_anywhere(tmp_path: Path) -> None:
    image = good_image(tmp_path)
    assert "--masks" in error_of(lambda: load_scene(image))
    (tmp_path / "masks").mkdir()
    assert "--masks" in error_of(lambda: load_scene(tmp_path))
    assert "no masks" in error_of(lambda: load_scene(image, [tmp_path / "masks"]))


def test_empty_mask(tmp_path: Path) -> None:
    image = good_image(tmp_path)
    Image.new("L", SIZE).save(tmp_path / "cup.png")
    assert "'cup' is empty" in error_of(lambda: load_scene(image, [tmp_path / "cup.png"]))


def test_folder_without_or_with_several_images(tmp_path: Path) -> None:
    good_mask(tmp_path, "mask0.png")
    assert "no image" in error_of(lambda: load_scene(tmp_path))
    good_image(tmp_path).rename(tmp_path / "a.png")
    load_scene(tmp_path)
    good_image(tmp_path).rename(tmp_path / "b.png")
    assert "several pictures" in error_of(lambda: load_scene(tmp_path))


def test_too_small_image(tmp_path: Path) -> None:
    Image.new("RGB", (500, 20)).save(tmp_path / "img.png")
    said = error_of(lambda: load_scene(tmp_path / "img.png", [good_mask(tmp_path)]))
    assert "500x20" in said


def test_mask_lost_by_the_square(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100)).save(tmp_path / "img.png")
    for name, left in (("cup", 0), ("pen", 320)):
        mask = np.zeros((100, 400), np.uint8)
        mask[10:90, left : left + 60] = 255
        Image.fromarray(mask).save(tmp_path / f"mask_{name}.png")
    assert "too far apart" in error_of(lambda: load_scene(tmp_path))


def test_save_spares_other_files(tmp_path: Path) -> None:
    good_image(tmp_path)
    good_mask(tmp_path, "mask0.png")
    scene = load_scene(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert "other files" in error_of(lambda: save_scene(scene, tmp_path))
    assert sorted(tmp_path.iterdir()) == before


def test_damaged_saved_scene(tmp_path: Path) -> None:
    good_image(tmp_path)
    good_mask(tmp_path, "mask0.png")
    saved = tmp_path / "saved"
    save_scene(load_scene(tmp_path), saved)
    save_scene(load_scene(tmp_path), saved)
    (saved / "masks" / "asset0.png").unlink()
    assert "there is no mask" in error_of(lambda: open_saved_scene(saved))
    (saved / "scene.json").write_text("{")
    assert "no saved scene" in error_of(lambda: open_saved_scene(saved))
    assert "no saved scene" in error_of(lambda: open_saved_scene(tmp_path / "nowhere"))
