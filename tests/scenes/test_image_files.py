"""Photos as phones and cameras leave them."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import UserError
from engine.scenes.image_files import read_photo

HEIC = Path(__file__).with_name("turned.heic")
"""128x96 stored, shown turned by a quarter; a red box in it. Drawn and encoded for this test."""


def jpeg(**options: Any) -> bytes:
    y, x = np.mgrid[:64, :96]
    pixels = np.stack([x * 2, y * 3, (x * y) % 251], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_loads_and_one_without_pixels_does_not(
    tmp_path: Path, progressive: bool
) -> None:
    data = jpeg(quality=90, progressive=progressive)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    whole = read_photo(path).pixels
    path.write_bytes(data[:-2])
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, whole)
    # A decoder that has every row of a plain JPEG never looks for its end.
    said = [finding.message for finding in photo.findings if finding.level == "warning"]
    assert len(said) == int(progressive) and all("no end marker" in text for text in said)
    for cut in (6, 40, len(data) // 2):
        path.write_bytes(data[:-cut])
        with pytest.raises(UserError, match="damaged or cut off"):
            read_photo(path)


def test_an_mpo_is_a_photo_and_no_animation(tmp_path: Path) -> None:
    first = Image.open(io.BytesIO(jpeg()))
    first.save(tmp_path / "plain.jpg", quality=95)
    depth = Image.new("RGB", first.size, "grey")
    first.save(tmp_path / "portrait.jpg", "MPO", save_all=True, append_images=[depth], quality=95)
    photo = read_photo(tmp_path / "portrait.jpg")
    assert np.array_equal(photo.pixels, np.asarray(Image.open(tmp_path / "plain.jpg")))
    assert not any("animation" in note for note in photo.notes)


def test_heic_photos_come_upright(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    photo = read_photo(HEIC)
    assert photo.pixels.shape == (128, 96, 3) and photo.transpose is None
    assert np.abs(photo.pixels[50, 50].astype(int) - (220, 40, 40)).max() < 12
    (tmp_path / "cut.heic").write_bytes(HEIC.read_bytes()[:400])
    with pytest.raises(UserError, match="damaged or cut off"):
        read_photo(tmp_path / "cut.heic")


def test_without_the_reader_heic_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pi_heif":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"bas-tui\[heic\]"):
        read_photo(HEIC)


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_tiff_and_bmp(tmp_path: Path, kind: str) -> None:
    picture = Image.open(io.BytesIO(jpeg()))
    picture.save(tmp_path / "photo", kind)
    assert np.array_equal(read_photo(tmp_path / "photo").pixels, np.asarray(picture))
