"""Masks in every mode and arrangement that people save them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from engine.core.errors import UserError
from engine.scenes.mask_files import concept_name, load_masks
from engine.scenes.scene import load_scene

SIZE = (96, 80)


def truth(left: int = 10, top: int = 20, right: int = 60, bottom: int = 70) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[top:bottom, left:right] = True
    return mask


def grey(mask: np.ndarray, on: int = 255) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * on)


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colours, alpha.astype(np.uint8) * 255]))


def indexed(indices: np.ndarray, palette: list[int]) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette(palette)
    return picture


def pictures() -> dict[str, Image.Image]:
    """The same mask in many guises."""
    mask = truth()
    white = np.full((*mask.shape, 3), 255, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), np.uint8)
    on_black = np.asarray(grey(mask).convert("RGB"))
    red = np.dstack([mask * 255, mask * 0, mask * 0]).astype(np.uint8)
    return {
        "1-bit": grey(mask).convert("1"),
        "grey": grey(mask),
        "grey, 0 and 1": grey(mask, 1),
        "grey, 0 and 128": grey(mask, 128),
        "grey, 16 bits": Image.fromarray(mask.astype(np.uint16) * 65535),
        "rgb": Image.fromarray(on_black),
        "rgb, red": Image.fromarray(red),
        "rgba, alpha the same everywhere": with_alpha(on_black, np.ones_like(mask)),
        "rgba, alpha nowhere": with_alpha(on_black, np.zeros_like(mask)),
        "rgba, alpha is the mask": with_alpha(white, mask),
        "rgba, a cut-out photo": with_alpha(noise, mask),
        "rgba, black paint on nothing": with_alpha(white * 0, mask),
        "grey with alpha": with_alpha(white, mask).convert("LA"),
        "indexed, colours": indexed(mask, [0, 0, 0, 128, 0, 0]),
        "indexed, white first": indexed(~mask, [255, 255, 255, 0, 0, 0]),
        "indexed, value 7": indexed(mask * 7, [5, 5, 5] * 7 + [200, 10, 10]),
    }


@pytest.mark.parametrize("guise", pictures())
@pytest.mark.parametrize("among_others", [False, True])
def test_one_mask_in_every_mode(tmp_path: Path, guise: str, among_others: bool) -> None:
    path = tmp_path / "teapot.png"
    pictures()[guise].save(path)
    other = tmp_path / "cup.png"
    grey(truth(0, 0, 20, 20)).save(other)
    concepts = load_masks([path, other] if among_others else [path], SIZE)
    assert [name for name, _ in concepts] == ["teapot", "cup"][: len(concepts)]
    assert len(concepts) == 1 + among_others
    assert concepts[0].mask.dtype == bool
    assert np.array_equal(concepts[0].mask, truth())


def test_soft_edges_are_cut_at_one_half(tmp_path: Path) -> None:
    soft = grey(truth()).filter(ImageFilter.GaussianBlur(4))
    soft.save(tmp_path / "teapot.png")
    (concept,) = load_masks([tmp_path / "teapot.png"], SIZE)
    assert np.array_equal(concept.mask, np.asarray(soft) > 127)


def test_jpeg_masks_and_their_noise(tmp_path: Path) -> None:
    grey(truth()).save(tmp_path / "teapot.jpg", quality=60)
    (concept,) = load_masks([tmp_path / "teapot.jpg"], SIZE)
    assert (concept.mask != truth()).mean() < 0.01


A, B = truth(0, 0, 30, 30), truth(50, 40, 90, 75)


@pytest.mark.parametrize(
    "values", [(1, 2), (85, 170), (255, 100), (1000, 3000)], ids=lambda values: str(values)
)
def test_grey_label_map(tmp_path: Path, values: tuple[int, int]) -> None:
    kind = np.uint16 if max(values) > 255 else np.uint8
    picture = Image.fromarray(A.astype(kind) * values[0] + B.astype(kind) * values[1])
    picture.save(tmp_path / "labels.png")
    concepts = load_masks([tmp_path / "labels.png"], SIZE)
    first, second = (A, B) if values[0] < values[1] else (B, A)
    assert [name for name, _ in concepts] == ["asset0", "asset1"]
    assert np.array_equal(concepts[0].mask, first)
    assert np.array_equal(concepts[1].mask, second)


def test_indexed_and_coloured_label_maps(tmp_path: Path) -> None:
    colours = [0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 90, 200]
    labels = indexed(A * 1 + B * 3, colours)
    labels.save(tmp_path / "indexed.png")
    labels.convert("RGB").save(tmp_path / "rgb.png")
    for name in ("indexed.png", "rgb.png"):
        concepts = load_masks([tmp_path / name], SIZE)
        found = {concept.mask.tobytes() for concept in concepts}
        assert found == {A.tobytes(), B.tobytes()}


def test_label_map_through_load_scene(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "white").save(tmp_path / "photo.png")
    Image.fromarray(A.astype(np.uint8) * 9 + B.astype(np.uint8) * 20).save(tmp_path / "l.png")
    scene = load_scene(tmp_path / "photo.png", [tmp_path / "l.png"])
    # 90 columns do not fit into 80: the crop keeps all but a part of one of the two.
    assert scene.names == ("asset0", "asset1")
    assert sum(int(concept.mask.sum()) for concept in scene.concepts) >= A.sum() + 30 * 35


def test_folder_order_names_and_exclusions(tmp_path: Path) -> None:
    for k in (10, 2, 1):
        grey(truth(k, 0, k + 30, 30)).save(tmp_path / f"mask{k}.png")
    (tmp_path / "._mask1.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("hello")
    concepts = load_masks([tmp_path], SIZE)
    assert [name for name, _ in concepts] == ["asset0", "asset1", "asset2"]
    assert [int(np.argmax(mask[0])) for _, mask in concepts] == [1, 2, 10]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("teapot", "teapot"),
        ("My Teapot (2)", "my_teapot_2"),
        ("Café-crème", "cafe_creme"),
        ("mask7", "asset3"),
        ("asset0", "asset3"),
        ("Mask_02", "asset3"),
        ("12", "asset3"),
        ("茶壶", "asset3"),
        ("masked_man", "masked_man"),
        ("x" * 90, "x" * 40),
    ],
)
def test_concept_names(stem: str, name: str) -> None:
    assert concept_name(stem, 3) == name


def test_two_equal_names(tmp_path: Path) -> None:
    for name in ("red cup.png", "red-cup.png"):
        grey(truth()).save(tmp_path / name)
    with pytest.raises(UserError, match=r"both named 'red_cup' - rename"):
        load_masks([tmp_path], SIZE)


def test_a_photo_and_a_palette_photo_are_no_masks(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize(SIZE)
    ramp.save(tmp_path / "ramp.png")
    with pytest.raises(UserError, match="looks like a photo"):
        load_masks([tmp_path / "ramp.png"], SIZE)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(noise).quantize(100).save(tmp_path / "palette.png")
    with pytest.raises(UserError, match="one per thing"):
        load_masks([tmp_path / "palette.png"], SIZE)
