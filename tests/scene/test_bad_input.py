"""Bad files: always one UserError of one line with a remedy, and nothing is written."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import UserError
from engine.scene import load_scene, open_saved_scene, save_scene

SIZE = (96, 96)


def good_image(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(noise).save(folder / "img.png")
    return folder / "img.png"


def good_mask(folder: Path, name: str = "cup.png") -> Path:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[20:60, 20:60] = 255
    Image.fromarray(mask).save(folder / name)
    return folder / name


def truncated(path: Path) -> None:
    whole = path.with_name("whole.jpg")
    Image.effect_noise((200, 200), 90).save(whole, format="JPEG")
    path.write_bytes(whole.read_bytes()[:2000])
    whole.unlink()


def broken_png(path: Path) -> None:
    whole = good_image(path.parent).read_bytes()
    path.write_bytes(whole[:300] + b"garbage" + whole[307:])


def bomb(path: Path) -> None:
    """A small file whose header announces 100000x100000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def large(path: Path) -> None:
    """Over the limit, but under Pillow's own: a 1-bit picture of 9000x9000 pixels."""
    Image.new("1", (9000, 9000)).save(path, format="PNG")


def other_format(path: Path) -> None:
    Image.new("RGB", SIZE).save(path, format="GIF")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(missing_ok=True), "there is no"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "fifo": (lambda path: os.mkfifo(path), "no regular file"),
    "empty": (lambda path: path.touch(), "no PNG, JPEG or WebP picture"),
    "text": (lambda path: path.write_text("hello\n" * 99), "no PNG, JPEG or WebP picture"),
    "gif": (other_format, "no PNG, JPEG or WebP picture"),
    "truncated": (truncated, "damaged or cut off"),
    "broken": (broken_png, "damaged or cut off"),
    "bomb": (bomb, "pixels; the limit is 80 million"),
    "large": (large, "pixels; the limit is 80 million"),
}


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
