"""Masks in every mode and arrangement that people save them in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from engine.core.errors import UserError
from engine.scenes.checks import SceneConcept
from engine.scenes.image_files import Photo
from engine.scenes.mask_files import InvertedMasksError, LoadedMasks
from engine.scenes.mask_files import load_masks as load_all
from engine.scenes.mask_names import concept_name, concept_names
from engine.scenes.scene import load_scene

SIZE = (96, 80)


def load(paths: Sequence[Path], *, inverted: bool | None = None) -> LoadedMasks:
    """The masks of a grey photo of SIZE that lies nowhere."""
    grey_photo = np.full((*SIZE[::-1], 3), 120, np.uint8)
    return load_all(paths, Photo(grey_photo, [], None), Path("photo.jpg"), inverted=inverted)


def load_masks(paths: Sequence[Path]) -> list[SceneConcept]:
    return load(paths).concepts


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
    cut_out = noise * mask[..., None]
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
        "rgba, a cut-out photo": with_alpha(cut_out, mask),
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
    concepts = load_masks([path, other] if among_others else [path])
    assert [name for name, _ in concepts] == ["teapot", "cup"][: len(concepts)]
    assert len(concepts) == 1 + among_others
    assert concepts[0].mask.dtype == bool
    assert np.array_equal(concepts[0].mask, truth())


def test_soft_edges_are_cut_at_one_half(tmp_path: Path) -> None:
    soft = grey(truth()).filter(ImageFilter.GaussianBlur(4))
    soft.save(tmp_path / "teapot.png")
    (concept,) = load_masks([tmp_path / "teapot.png"])
    assert np.array_equal(concept.mask, np.asarray(soft) > 127)


def test_jpeg_masks_and_their_noise(tmp_path: Path) -> None:
    grey(truth()).save(tmp_path / "teapot.jpg", quality=60)
    (concept,) = load_masks([tmp_path / "teapot.jpg"])
    assert (concept.mask != truth()).mean() < 0.01


A, B = truth(0, 0, 30, 30), truth(50, 40, 90, 75)


@pytest.mark.parametrize(
    "values", [(1, 2), (85, 170), (255, 100), (1000, 3000)], ids=lambda values: str(values)
)
def test_grey_label_map(tmp_path: Path, values: tuple[int, int]) -> None:
    kind = np.uint16 if max(values) > 255 else np.uint8
    picture = Image.fromarray(A.astype(kind) * values[0] + B.astype(kind) * values[1])
    picture.save(tmp_path / "labels.png")
    concepts = load_masks([tmp_path / "labels.png"])
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
        concepts = load_masks([tmp_path / name])
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
    concepts = load_masks([tmp_path])
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
        ("茶壶", "茶壶"),
        ("ﾃｨｰﾎﾟｯﾄ", "ティーポット"),
        ("🫖", "teapot"),
        ("task-1234-annotation-5678-by-1-tag-red_ball-0", "red_ball"),
        ("task-12-annotation-5-by-me@x.org-tag-Red Ball-12", "red_ball"),
        ("clipspace-mask-1207589.1", "asset3"),
        ("masked_man", "masked_man"),
        ("x" * 90, "x" * 40),
    ],
)
def test_concept_names(stem: str, name: str) -> None:
    assert concept_name(stem, 3) == name


def test_names_are_made_unique_and_that_is_said(tmp_path: Path) -> None:
    for name in ("red cup.png", "red-cup.png"):
        grey(truth()).save(tmp_path / name)
    loaded = load([tmp_path])
    assert [name for name, _ in loaded.concepts] == ["red_cup", "red_cup_2"]
    assert loaded.notes == ["red-cup is called <red_cup_2>"]
    long = "a_long_name_that_a_tool_wrote_before_every_one_of_its_files_0001_"
    assert concept_names([f"{long}teapot_mask", f"{long}cup_mask"]) == (["teapot", "cup"], [])


def test_a_photo_and_a_palette_photo_are_no_masks(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize(SIZE)
    ramp.save(tmp_path / "ramp.png")
    with pytest.raises(UserError, match="looks like a photo"):
        load_masks([tmp_path / "ramp.png"])
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(noise).quantize(100).save(tmp_path / "palette.png")
    with pytest.raises(UserError, match="looks like a photo"):
        load_masks([tmp_path / "palette.png"])


def test_an_inverted_mask_is_never_taken_silently(tmp_path: Path) -> None:
    grey(~truth()).save(tmp_path / "teapot.png")
    with pytest.raises(InvertedMasksError, match=r"'teapot' looks inverted.*--masks-inverted"):
        load([tmp_path / "teapot.png"])
    for inverted in (True, False):
        (concept,) = load([tmp_path / "teapot.png"], inverted=inverted).concepts
        assert np.array_equal(concept.mask, truth() == inverted)
    grey(truth()).save(tmp_path / "teapot.png")
    with pytest.raises(UserError, match="once inverted"):
        load([tmp_path / "teapot.png"], inverted=True)
    grey(~truth()).save(tmp_path / "background.png")
    assert load([tmp_path / "background.png"]).concepts[0].name == "background"


def test_a_photo_under_both_parts_of_the_alpha_channel_is_asked_about(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    with_alpha(noise, truth()).save(tmp_path / "cup.png")
    with pytest.raises(InvertedMasksError, match="in its transparent part too"):
        load([tmp_path / "cup.png"])
    (cup,) = load([tmp_path / "cup.png"], inverted=False).concepts
    assert np.array_equal(cup.mask, truth())
    with_alpha(noise, ~truth()).save(tmp_path / "clipspace-mask-12.png")
    (painted,) = load([tmp_path / "clipspace-mask-12.png"]).concepts
    assert painted.name == "asset0" and np.array_equal(painted.mask, truth())


def test_half_opaque_layers(tmp_path: Path) -> None:
    layer = np.zeros((*SIZE[::-1], 4), np.uint8)
    layer[truth()] = (255, 0, 0, 127)
    Image.fromarray(layer).save(tmp_path / "cup.png")
    assert np.array_equal(load_masks([tmp_path / "cup.png"])[0].mask, truth())
    layer[0:12, 70:90] = (255, 0, 0, 255)
    Image.fromarray(layer).save(tmp_path / "cup.png")
    mask = load_masks([tmp_path / "cup.png"])[0].mask
    assert mask[truth()].all() and mask[5, 80], "the fainter paint counts too"


def test_the_border_of_pascal_voc_is_no_thing(tmp_path: Path) -> None:
    y, x = np.mgrid[:80, :96]
    one, two = np.hypot(x - 25, y - 40), np.hypot(x - 70, y - 40)
    labels = (one < 18) + 2 * (two < 20)
    labels[(abs(one - 18) < 2.5) | (abs(two - 20) < 2.5)] = 255
    colours = [0] * 768
    colours[3:9], colours[765:] = [128, 0, 0, 0, 128, 0], [224, 224, 192]
    indexed(labels, colours).save(tmp_path / "voc.png")
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "grey.png")
    for name in ("voc.png", "grey.png"):
        loaded = load([tmp_path / name])
        first, second = (concept.mask for concept in loaded.concepts)
        assert iou(first, one < 18) > 0.95 and iou(second, two < 20) > 0.95
        assert "is the border between things" in loaded.notes[0]
    colours[765:] = [250, 10, 10]
    indexed(labels, colours).save(tmp_path / "voc.png")
    with pytest.raises(UserError, match="only as outlines"):
        load_masks([tmp_path / "voc.png"])


def test_which_colour_is_the_background(tmp_path: Path) -> None:
    colours = np.full((*SIZE[::-1], 3), (10, 120, 40), np.uint8)
    colours[A], colours[B] = (200, 0, 0), (0, 90, 200)
    colours[0:5, :] = colours[:, 0:5] = (10, 120, 40)
    Image.fromarray(colours).save(tmp_path / "map.png")
    loaded = load([tmp_path / "map.png"])
    assert len(loaded.concepts) == 2 and "#0a7828" in loaded.notes[0]
    tiles = np.zeros((*SIZE[::-1], 3), np.uint8)
    tiles[:, :48], tiles[:, 48:], tiles[:40, 20:60] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    Image.fromarray(tiles).save(tmp_path / "map.png")
    with pytest.raises(UserError, match="no black"):
        load_masks([tmp_path / "map.png"])


def test_masks_of_another_size_and_shape(tmp_path: Path) -> None:
    Image.fromarray(truth(20, 20, 60, 60).astype(np.uint8) * 255).resize((192, 160)).save(
        tmp_path / "cup.png"
    )
    loaded = load([tmp_path / "cup.png"])
    assert np.array_equal(loaded.concepts[0].mask, truth(20, 20, 60, 60))
    assert loaded.notes == ["cup.png: scaled from 192x160 to 96x80"]
    Image.new("L", (160, 192), 255).save(tmp_path / "cup.png")
    with pytest.raises(UserError, match="is 160x192, the image 96x80"):
        load_masks([tmp_path / "cup.png"])


@pytest.mark.parametrize("kind", ["tif", "bmp", "webp"])
def test_other_formats(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cup.{kind}"
    grey(truth()).convert("RGB").save(path, lossless=True)
    assert np.array_equal(load_masks([tmp_path])[0].mask, truth())


def test_arrays(tmp_path: Path) -> None:
    stack = np.stack([A, B])
    arrays = {
        "one bool": A, "probabilities": A * 0.9, "labels": A * 1 + B * 2, "stack": stack,
        "last axis": np.moveaxis(stack, 0, 2), "as SAM gives it": stack[:, None],
        "float labels": A * 1.0 + B * 2.0,
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(tmp_path / "cup.npy", array)
        found = load_masks([tmp_path / "cup.npy"])
        expected = [A] if name in ("one bool", "probabilities") else [A, B]
        assert [c.mask.tobytes() for c in found] == [m.tobytes() for m in expected], name
    for bad in (np.array([{}], object), A * 7.0 - 3, np.zeros((2, 2, 2, 2)), np.zeros(0)):
        np.save(tmp_path / "cup.npy", bad)
        with pytest.raises(UserError):
            load_masks([tmp_path / "cup.npy"])
    (tmp_path / "cup.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"no plain .npy array"):
        load_masks([tmp_path / "cup.npy"])


def test_masks_that_tools_leave_beside_a_photo(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "white").save(tmp_path / "photo.png")
    grey(truth()).save(tmp_path / "photo-masklabel.png")
    assert load_scene(tmp_path).names == ("photo",)
    (tmp_path / "photo-masklabel.png").unlink()
    (tmp_path / "masks").mkdir()
    for name in ("photo.png", "other.png"):
        grey(truth()).save(tmp_path / "masks" / name)
    assert load_scene(tmp_path / "photo.png").names == ("photo",), "the others are of other photos"


def test_a_folder_of_sam_everything_is_refused_with_a_way_on(tmp_path: Path) -> None:
    for k in range(3):
        grey(truth(k, k, 40, 40)).save(tmp_path / f"{k}.png")
    (tmp_path / "metadata.csv").write_text("id,area,bbox_x0,bbox_y0\n0,9,0,0\n")
    with pytest.raises(UserError, match="name the files of those you want"):
        load_masks([tmp_path])
    (tmp_path / "metadata.csv").unlink()
    for k in range(20):
        grey(truth(k, k, 40, 40)).save(tmp_path / f"{k}.png")
    with pytest.raises(UserError, match="there are 20 masks"):
        load_masks([tmp_path])


def test_the_photos_own_alpha(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    with_alpha(noise, truth(20, 20, 60, 60)).save(tmp_path / "photo.png")
    scene = load_scene(tmp_path / "photo.png")
    assert scene.concepts[0].mask.sum() == 40 * 40
    assert any("own transparency" in note for note in scene.notes)


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())
