"""Box -> mask on pictures whose true mask is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import engine
from engine.core.errors import UserError
from engine.scenes.mask_ops import difference_box
from engine.scenes.pixel_box import Box
from engine.segments.grab_cut import box_to_mask

SCENES = Path(engine.__file__).parent / "pocket" / "scenes"


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def textured_disc(side: int = 128) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:side, 0:side]
    disc = (x - 70) ** 2 + (y - 60) ** 2 < 30**2
    image = rng.normal(90, 18, (side, side, 3))
    image[disc] = rng.normal((190, 70, 60), 18, (int(disc.sum()), 3))
    return image.clip(0, 255).astype(np.uint8), disc


def test_a_textured_thing_is_found_and_nothing_outside_the_box() -> None:
    image, disc = textured_disc()
    box = Box(34, 24, 106, 96)
    found = box_to_mask(image, box)
    assert iou(found, disc) > 0.97
    outside = found.copy()
    outside[box.slices] = False
    assert not outside.any()
    assert np.array_equal(found, box_to_mask(image, box)), "same box, same mask"


def test_the_demo_scene_of_the_package() -> None:
    folder = SCENES / "teapot_penguin"
    image = np.array(Image.open(folder / "scene.png").convert("RGB"))
    for name in ("teapot", "penguin"):
        truth = np.array(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 127
        tight = difference_box(np.zeros_like(truth), truth)
        box = Box(tight.x0 - 6, tight.y0 - 6, tight.x1 + 6, tight.y1 + 6)
        assert iou(box_to_mask(image, box), truth) > 0.8


def test_a_dab_inside_is_kept() -> None:
    image, disc = textured_disc()
    dab = np.zeros_like(disc)
    dab[26:30, 40:44] = True
    assert box_to_mask(image, Box(34, 24, 106, 96), inside=dab)[dab].all()


@pytest.mark.parametrize("box", [Box(5, 5, 7, 90), Box(0, 0, 128, 128), Box(300, 300, 340, 340)])
def test_boxes_that_cannot_work_say_why(box: Box) -> None:
    image, _ = textured_disc()
    with pytest.raises(UserError):
        box_to_mask(image, box)


def test_an_even_area_is_a_user_error_or_a_mask_but_never_a_crash() -> None:
    flat = np.full((64, 64, 3), 120, np.uint8)
    with pytest.raises(UserError):
        box_to_mask(flat, Box(10, 10, 40, 40))
