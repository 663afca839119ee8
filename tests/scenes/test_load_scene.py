"""Loading a picture with masks: what comes out, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from engine.scenes.scene import (
    load_image,
    load_scene,
    open_saved_scene,
    resize_scene,
    save_scene,
    scene_hash,
)

REAL = Path(__file__).parents[3] / "shared" / "scenes"
Box = tuple[int, int, int, int]


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def draw_mask(path: Path, size: tuple[int, int], box: Box) -> Path:
    """A white box on black; the box holds its right and lower edges."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)
    return path


def test_square_picture_keeps_every_pixel(tmp_path: Path) -> None:
    source = photo(512, 512)
    source.save(tmp_path / "img.png")
    draw_mask(tmp_path / "mask0.png", (512, 512), (10, 20, 200, 220))
    draw_mask(tmp_path / "mask1.png", (512, 512), (300, 300, 500, 400))
    scene = load_scene(tmp_path)
    assert np.array_equal(scene.image, np.asarray(source))
    assert scene.image.flags.writeable
    assert scene.names == ("asset0", "asset1")
    assert scene.concepts[0].mask.dtype == bool
    assert scene.concepts[0].mask.sum() == 191 * 201
    assert scene.notes == (f"masks found in {tmp_path}",)
    assert scene.findings == ()


@pytest.mark.parametrize("masks_as_shown", [True, False])
def test_exif_orientation_gps_and_crop(tmp_path: Path, masks_as_shown: bool) -> None:
    """A 900x600 JPEG that must be shown turned by a quarter, with a position in it."""
    stored = Image.new("RGB", (900, 600), "navy")
    ImageDraw.Draw(stored).rectangle((600, 100, 800, 300), fill="red")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    path = tmp_path / "holiday.jpg"
    stored.save(path, exif=exif, quality=95)
    assert Image.open(path).getexif().get_ifd(0x8825)[1] == "N"
    box = (600, 100, 800, 300)
    # Turned clockwise by 90 degrees, (x, y) of the stored picture lies at (599 - y, x).
    shown = (299, 600, 499, 800)
    size, box = ((600, 900), shown) if masks_as_shown else ((900, 600), box)
    mask = draw_mask(tmp_path / "m" / "lamp.png", size, box)
    scene = load_scene(path, [mask])
    assert scene.image.shape == (600, 600, 3)
    (concept,) = scene.concepts
    assert concept.name == "lamp"
    assert concept.mask.sum() == 201 * 201
    inside = scene.image[concept.mask]
    assert np.median(inside, axis=0).tolist() == pytest.approx([254, 0, 0], abs=3)
    assert (scene.image[~concept.mask][:, 0] > 128).mean() < 0.01
    said = " | ".join(scene.notes)
    assert "GPS" in said and "orientation" in said and "600x900 to 600x600" in said
    save_scene(scene, tmp_path / "saved")
    assert not Image.open(tmp_path / "saved" / "image.png").info


def test_crop_is_centred_on_the_masks_and_clamped(tmp_path: Path) -> None:
    source = photo(900, 300)
    source.save(tmp_path / "img.png")
    draw_mask(tmp_path / "masks" / "cup.png", (900, 300), (400, 10, 449, 100))
    draw_mask(tmp_path / "masks" / "pen.png", (900, 300), (500, 50, 599, 200))
    scene = load_scene(tmp_path)
    # The masks span columns 400-599, so their middle, 500, is the middle of the square.
    assert np.array_equal(scene.image, np.asarray(source)[:, 350:650])
    assert scene.names == ("cup", "pen")
    assert [int(concept.mask.sum()) for concept in scene.concepts] == [50 * 91, 100 * 151]
    draw_mask(tmp_path / "masks" / "cup.png", (900, 300), (860, 10, 899, 100))
    (tmp_path / "masks" / "pen.png").unlink()
    assert np.array_equal(load_scene(tmp_path).image, np.asarray(source)[:, 600:])


def test_masks_too_wide_for_a_square_lose_least_and_say_so(tmp_path: Path) -> None:
    photo(400, 200).save(tmp_path / "img.png")
    draw_mask(tmp_path / "masks" / "left.png", (400, 200), (100, 50, 139, 149))
    draw_mask(tmp_path / "masks" / "wide.png", (400, 200), (120, 50, 339, 149))
    scene = load_scene(tmp_path)
    left, wide = scene.concepts
    # Any square that starts at column 100 to 140 trades 1/40 of `left` against 1/220 of `wide`.
    assert left.mask.sum() == 40 * 100
    assert wide.mask.sum() == 180 * 100
    assert [finding.concept for finding in scene.findings if "crop" in finding.message] == ["wide"]
    assert "18.2%" in scene.findings[0].message


def test_large_picture_is_scaled_with_its_masks(tmp_path: Path) -> None:
    photo(600, 600).save(tmp_path / "img.png")
    draw_mask(tmp_path / "mask0.png", (600, 600), (0, 0, 299, 599))
    scene = load_scene(tmp_path, max_side=200)
    assert scene.image.shape == (200, 200, 3)
    assert scene.concepts[0].mask[:, :100].all() and not scene.concepts[0].mask[:, 100:].any()
    assert "scaled from 600x600 to 200x200" in scene.notes


def test_saved_scene_round_trip_is_exact_and_deterministic(tmp_path: Path) -> None:
    photo(90, 64).save(tmp_path / "img.png")
    draw_mask(tmp_path / "z.png", (90, 64), (20, 5, 40, 30))
    draw_mask(tmp_path / "a.png", (90, 64), (30, 20, 60, 60))
    scene = load_scene(tmp_path / "img.png", [tmp_path / "z.png", tmp_path / "a.png"])
    assert scene.names == ("z", "a")
    save_scene(scene, tmp_path / "one")
    save_scene(scene, tmp_path / "two" / "deep")
    again = open_saved_scene(tmp_path / "one")
    assert scene_hash(again) == scene_hash(scene)
    assert (again.names, again.notes, again.findings, again.source) == (
        scene.names, scene.notes, scene.findings, scene.source,
    )  # fmt: skip
    for file in ("image.png", "masks/z.png", "masks/a.png", "scene.json"):
        first = (tmp_path / "one" / file).read_bytes()
        assert first == (tmp_path / "two" / "deep" / file).read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert load_scene(tmp_path / "one").names == ("z", "a")


def test_hash_sees_pixels_names_masks_and_order(tmp_path: Path) -> None:
    photo(64, 64).save(tmp_path / "img.png")
    masks = [draw_mask(tmp_path / f"{n}.png", (64, 64), (k, k, 40, 40)) for k, n in enumerate("ab")]
    other = draw_mask(tmp_path / "other" / "a.png", (64, 64), (0, 0, 40, 41))
    image = tmp_path / "img.png"
    scenes = [load_scene(image, given) for given in (masks, masks[::-1], masks[:1], [other])]
    photo(64, 64, seed=1).save(image)
    scenes.append(load_scene(image, masks))
    assert len({scene_hash(scene) for scene in scenes}) == 5


def test_resize_keeps_small_masks_and_the_fitting_scene(tmp_path: Path) -> None:
    photo(512, 512).save(tmp_path / "img.png")
    draw_mask(tmp_path / "mask0.png", (512, 512), (1, 1, 2, 2))
    scene = load_scene(tmp_path)
    assert "smaller than a cell" in scene.findings[0].message
    assert resize_scene(scene, 512) is scene
    small = resize_scene(scene, 64)
    assert small.image.shape == (64, 64, 3)
    assert np.argwhere(small.concepts[0].mask).tolist() == [[0, 0]]
    assert resize_scene(scene, 700).concepts[0].mask.shape == (700, 700)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "RGBA", "I;16"])
def test_every_image_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(grey)
        picture = picture.quantize(64) if mode == "P" else picture.convert("RGB").convert(mode)
    path = tmp_path / ("img.jpg" if mode == "CMYK" else "img.png")
    picture.save(path)
    loaded = load_image(path)
    assert loaded.shape == (64, 64, 3) and loaded.dtype == np.uint8
    assert np.abs(loaded.astype(int) - grey[..., None]).max() <= 4


def test_transparent_image_goes_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "img.png")
    draw_mask(tmp_path / "mask0.png", (64, 64), (8, 8, 40, 40))
    scene = load_scene(tmp_path)
    assert (scene.image == 255).all()
    assert any("white" in note for note in scene.notes)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real photos are not here")
@pytest.mark.parametrize("name", ["creature", "toys", "chicken"])
def test_real_photos(name: str) -> None:
    scene = load_scene(REAL / name)
    assert scene.names == ("asset0", "asset1", "asset2")
    source = np.asarray(Image.open(REAL / name / "img.jpg"))
    assert np.array_equal(scene.image, source)
    for k, concept in enumerate(scene.concepts):
        red = np.asarray(Image.open(REAL / name / f"mask{k}.png"))[..., 0]
        assert np.array_equal(concept.mask, red > 127)
    assert not [finding for finding in scene.findings if finding.level == "error"]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animation_gives_its_first_frame(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    path = tmp_path / f"img.{kind.lower()}"
    frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], lossless=True)
    mask = draw_mask(tmp_path / "cup.png", (64, 64), (8, 8, 40, 40))
    scene = load_scene(path, [mask])
    assert (scene.image == [255, 0, 0]).all()
    assert "took the first frame of an animation" in scene.notes


def test_damaged_exif_and_text_are_dropped(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Author", "someone")
    path = tmp_path / "img.png"
    photo(64, 64).save(path, pnginfo=info, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    mask = draw_mask(tmp_path / "cup.png", (64, 64), (8, 8, 40, 40))
    (note,) = load_scene(path, [mask]).notes
    assert "metadata" in note and "text" in note
