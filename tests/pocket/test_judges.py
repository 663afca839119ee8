"""What the judges of generated pictures look at."""

import numpy as np
from PIL import Image, ImageDraw

from engine.pocket import backgrounds
from engine.pocket.recipe import judges
from engine.pocket.recipe.composer import SIDE


def drawing(*blocks: tuple[tuple[int, int, int, int], str]) -> Image.Image:
    """Coloured blocks on the judges' grey."""
    picture = Image.new("RGB", (SIDE, SIDE), backgrounds.COLOURS["gray"])
    for (left, top, right, bottom), colour in blocks:
        ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill=colour)
    return picture


def middle(view: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(view)[judges.CROP // 2, judges.CROP // 2].tolist())


THREE = (
    ((10, 40, 40, 80), "#ff0000"),
    ((40, 40, 70, 80), "#00ff00"),
    ((70, 40, 100, 80), "#0000ff"),
)


def test_strips_cut_a_box_without_gap_or_overlap() -> None:
    assert judges.strips((10, 5, 21, 9), 3) == [(10, 5, 13, 9), (13, 5, 17, 9), (17, 5, 21, 9)]


def test_things_apart_are_looked_at_one_by_one() -> None:
    apart = [((left, 40, left + 20, 80), colour) for (left, *_), colour in THREE]
    seen = [middle(view) for view in judges.views(drawing(*apart), 3)]
    assert sorted(seen) == [(0, 0, 255), (0, 255, 0), (255, 0, 0)]


def test_each_of_three_touching_things_has_a_view() -> None:
    picture = drawing(*THREE)
    assert len(judges.regions(picture)) == 1
    seen = {middle(view) for view in judges.views(picture, 3)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= seen


def test_two_of_three_touching_have_a_view_each() -> None:
    first, second, (_, colour) = THREE
    picture = drawing(first, second, ((90, 40, 120, 80), colour))
    assert len(judges.regions(picture)) == 2
    seen = {middle(view) for view in judges.views(picture, 3)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= seen


def test_an_empty_picture_has_one_view() -> None:
    assert len(judges.views(drawing(), 3)) == 1


def test_the_outline_of_a_mask() -> None:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[20:30, 40:45] = 1
    assert judges.outline(mask) == (40, 20, 45, 30)
    assert judges.outline(mask * 0.4) == (0, 0, SIDE, SIDE)
