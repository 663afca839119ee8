"""Grids of cells: what is repainted, how pictures become cells, fewer colours, steady levels."""

from __future__ import annotations

import numpy as np
import pytest

from bas_tui.tui.drawing.cells import JOIN_GAP, Cells, changed_spans
from bas_tui.tui.drawing.halfblock import fit, fitted_size, picture_cells
from bas_tui.tui.drawing.palette import CONCEPT_COLORS, concept_color, heat_scale
from bas_tui.tui.drawing.quantise import steady, to_levels, to_xterm
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.train.attention_panel import arrange


def test_spans_cover_exactly_what_changed() -> None:
    old, new = Cells.blank(4, 60), Cells.blank(4, 60)
    new.write(1, 5, "ab")
    new.write(1, 9, "c")
    new.write(1, 9 + JOIN_GAP + 2, "d")
    new.bg[3, 59] = 0x123456
    spans = changed_spans(old, new)
    assert [(span.y, span.x, span.right) for span in spans] == [
        (1, 5, 10), (1, 11 + JOIN_GAP, 12 + JOIN_GAP), (3, 59, 60),
    ]  # fmt: skip
    assert changed_spans(new, new) == []


def test_writing_outside_is_cut_off() -> None:
    cells = Cells.blank(2, 6)
    cells.write(0, -2, "abcd")
    cells.write(1, 4, "wxyz")
    cells.write(7, 0, "no")
    cells.paste(1, 5, Cells.blank(3, 3))
    assert ["".join(map(chr, row)) for row in cells.chars] == ["cd    ", "    w "]


def test_two_pixels_a_cell() -> None:
    pixels = np.array([[[255, 0, 0]], [[0, 0, 255]], [[9, 9, 9]], [[9, 9, 9]]], dtype=np.uint8)
    cells = picture_cells(pixels, Terminal())
    assert cells.chars.tolist() == [[0x2580], [ord(" ")]]
    assert cells.fg[0, 0] == 0xFF0000
    assert cells.bg.tolist() == [[0x0000FF], [0x090909]]


def test_without_colours_or_unicode_brightness_becomes_characters() -> None:
    pixels = np.zeros((4, 3, 3), dtype=np.uint8)
    pixels[:2] = 255
    for terminal in (Terminal(colors=0), Terminal(ascii=True)):
        cells = picture_cells(pixels, terminal)
        assert ["".join(map(chr, row)) for row in cells.chars] == ["@@@", "   "]


@pytest.mark.parametrize(
    ("picture", "room", "expected"),
    [
        ((64, 64), (20, 10), (20, 10)),
        ((64, 64), (30, 10), (20, 10)),
        ((100, 50), (20, 20), (20, 5)),
    ],
)
def test_pictures_keep_their_aspect(
    picture: tuple[int, int], room: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted_size(*picture, *room) == expected
    pixels = fit(np.zeros((picture[1], picture[0], 3), dtype=np.uint8), *room)
    assert pixels.shape == (2 * expected[1], expected[0], 3)


def test_shrinking_averages_and_growing_repeats() -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = fit(np.repeat(board[..., None], 3, axis=2), 4, 2)
    assert set(np.unique(small)) <= {127, 128}
    large = fit(np.repeat(board[:2, :2, None], 3, axis=2), 8, 4)
    assert set(np.unique(large)) == {0, 255}


def test_xterm_colours_are_near_and_stay_themselves() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (500, 3), dtype=np.uint8)
    reduced = to_xterm(colors)
    assert np.array_equal(to_xterm(reduced), reduced)
    assert np.abs(reduced.astype(int) - colors).max() <= 48
    assert len(np.unique(reduced, axis=0)) <= 240


def test_levels_need_more_than_noise_to_change() -> None:
    at_border = np.full((4, 4), 6 / 12)
    levels = to_levels(at_border)
    assert (levels == 6).all()
    noisy = at_border + np.where(np.indices((4, 4)).sum(axis=0) % 2, 0.02, -0.02)
    assert not np.array_equal(to_levels(noisy), levels)
    assert np.array_equal(to_levels(noisy, previous=levels), levels)
    assert (to_levels(at_border + 0.2, previous=levels) == 8).all()
    assert to_levels(np.array([0.0, 1.0])).tolist() == [0, 11]


def test_pixels_that_hardly_moved_stay() -> None:
    shown = np.full((2, 2, 3), 100, dtype=np.uint8)
    fresh = shown.copy()
    fresh[0, 0] += 5
    fresh[1, 1] += 50
    kept = steady(fresh, shown)
    assert kept[0, 0].tolist() == [100] * 3
    assert kept[1, 1].tolist() == [150] * 3


def test_concept_colours_differ_on_every_terminal() -> None:
    assert len({color.xterm for color in CONCEPT_COLORS}) == 8
    assert len({color.ansi for color in CONCEPT_COLORS}) == 8
    assert len({color.letter for color in CONCEPT_COLORS}) == 8
    assert concept_color(8) == CONCEPT_COLORS[0]
    for color in CONCEPT_COLORS:
        nearest = to_xterm(np.array(color.rgb, dtype=np.uint8))
        assert np.abs(nearest.astype(int) - color.rgb).max() <= 48


def test_heat_grows_brighter() -> None:
    light = heat_scale(12) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > 0).all()


def test_maps_use_the_room_there_is() -> None:
    small = arrange(34, 20, 16, 2)
    assert (small.zoom, small.across, small.down) == (1, 1, 2)
    large = arrange(70, 55, 16, 3)
    assert (large.zoom, large.across, large.down) == (2, 1, 3)
    wide = arrange(150, 20, 16, 4)
    assert wide.across * wide.down >= 4
    assert arrange(34, 20, 8, 2).zoom == 2
