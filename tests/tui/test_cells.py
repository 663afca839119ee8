"""Grids of cells: what is repainted, how pictures become cells, fewer colours, steady levels."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bas_tui.cli.sixel import sixel
from bas_tui.tui.drawing.blocks import PARTS, Blocks, mosaic, rendered
from bas_tui.tui.drawing.cells import JOIN_GAP, Cells, changed_spans
from bas_tui.tui.drawing.halfblock import Pixels, fit, fitted_size, photo_cells, picture_cells
from bas_tui.tui.drawing.palette import CONCEPT_COLORS, concept_color, heat_scale
from bas_tui.tui.drawing.quantise import steady, to_levels, to_xterm
from bas_tui.tui.drawing.terminal import Terminal, sharpest_blocks
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


def _scene() -> Pixels:
    """A picture with slanted outlines and a soft light, as photographs have."""
    y, x = np.mgrid[0:96, 0:96] / 95
    disc = np.hypot(x - 0.45, y - 0.55) < 0.33
    bar = np.abs(x - 0.7 * y - 0.25) < 0.08
    red = np.where(disc, 220, 40 + 60 * x)
    green = np.where(bar, 200, 60 + 100 * y)
    return np.stack((red, green, 90 + 80 * x * y), axis=-1).astype(np.uint8)


def test_smaller_blocks_lose_less() -> None:
    errors: list[float] = []
    whole = np.asarray(Image.fromarray(_scene()).resize((48, 72), Image.Resampling.BOX))
    for blocks, (across, down) in PARTS.items():
        parts = fit(_scene(), 24, 12, blocks)
        assert parts.shape == (12 * down, 24 * across, 3)
        shown = rendered(mosaic(parts, blocks), blocks)
        large = shown.repeat(72 // shown.shape[0], axis=0).repeat(48 // shown.shape[1], axis=1)
        errors.append(float(np.square(large.astype(float) - whole).mean()))
    half, quadrant, sextant = errors
    assert half > 1.3 * quadrant > 1.3 * 1.2 * sextant


@pytest.mark.parametrize("blocks", ["quadrant", "sextant"])
def test_two_colours_in_a_cell_are_kept_exactly(blocks: Blocks) -> None:
    across, down = PARTS[blocks]
    shapes = np.array(
        [[bits >> part & 1 for part in range(across * down)] for bits in range(1 << across * down)]
    )
    cells = shapes.reshape(-1, down, across).transpose(1, 0, 2).reshape(down, -1)
    pixels = np.array([[20, 80, 200], [250, 240, 10]], dtype=np.uint8)[cells]
    chosen = mosaic(pixels, blocks)
    assert (rendered(chosen, blocks) == pixels).all()
    names = {unicodedata.name(chr(char)) for char in chosen.chars_RC.ravel().tolist()}
    assert len(names) == len(shapes) // 2
    assert all("BLOCK" in name or "QUADRANT" in name or name == "SPACE" for name in names)


@pytest.mark.parametrize(
    ("environ", "outer", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "", "sextant"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "", "sextant"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "5202"}, "", "quadrant"),
        ({"TERM": "xterm-256color"}, "", "quadrant"),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, "", "quadrant"),
        ({"TERM": "tmux-256color", "TMUX": "x"}, "foot(1.16.2)", "sextant"),
        ({"TERM": "linux"}, "", "half"),
    ],
)
def test_blocks_by_what_the_terminal_says(
    environ: dict[str, str], outer: str, expected: str
) -> None:
    assert sharpest_blocks(environ, outer) == expected


def test_a_slow_link_and_few_colours_have_their_say() -> None:
    slow = Terminal(sharpest="sextant", low_bandwidth=True)
    first = photo_cells(_scene(), 20, 10, slow)
    assert (to_xterm(_rgb(first.cells.bg)) == _rgb(first.cells.bg)).all()
    again = photo_cells(_scene() + np.uint8(3), 20, 10, slow, first.pixels)
    assert not changed_spans(first.cells, again.cells)
    assert Terminal(sharpest="sextant", colors=16).picture_blocks == "half"
    plain = photo_cells(_scene(), 20, 10, Terminal(sharpest="sextant", ascii=True)).cells
    assert plain.chars.max() < 128


def _rgb(packed: NDArray[np.int32]) -> Pixels:
    return np.stack((packed >> 16, packed >> 8 & 255, packed & 255), axis=-1).astype(np.uint8)


def test_a_sixel_reads_back_as_the_picture() -> None:
    text = sixel(Image.fromarray(_scene()), 6, 3)
    head, *planes = re.split(r"(?=[$-])", text.removeprefix("\x1bP").removesuffix("\x1b\\"))
    size, *colours = re.findall(r"#[\d;]+|\"[\d;]+", head)
    width, height = (int(number) for number in size.split(";")[2:])
    palette = {
        int(number): [int(part) * 255 / 100 for part in rgb]
        for number, kind, *rgb in (colour[1:].split(";") for colour in colours if ";2;" in colour)
    }
    shown = np.full((height, width, 3), -1.0)
    top = 0
    last = re.search(r"#\d+[^;#]*$", head)
    assert last is not None
    for plane in (f"${last.group()}", *planes):
        top += 6 * (plane[0] == "-")
        number, data = re.fullmatch(r".#(\d+)(.*)", plane).groups()  # type: ignore[union-attr]
        column = 0
        for count, char in re.findall(r"(?:!(\d+))?([?-~])", data):
            for bit in range(6):
                if ord(char) - 63 >> bit & 1:
                    span = slice(column, column + int(count or 1))
                    shown[top + bit, span] = palette[int(number)]
            column += int(count or 1)
        assert column == width
    wanted = np.asarray(Image.fromarray(_scene()).resize((width, height)), dtype=float)
    assert shown.min() >= 0 and np.abs(shown - wanted).mean() < 6


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
