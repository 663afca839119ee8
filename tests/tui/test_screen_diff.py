"""Fewer bytes, the same screen."""

from __future__ import annotations

import random
import re

from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from bas_tui.tui.shell.screen_diff import ScreenDiff
from bas_tui.tui.shell.sgr import PLAIN, Rendition, parse, transition

SGR = re.compile(r"\x1b\[([\d;]*)m")
MOVE = re.compile(r"\x1b\[(\d+);(\d+)H")


def shown(stream: str) -> list[tuple[str, Rendition]]:
    """Every character with the rendition a terminal would give it."""
    attributes: set[str] = set()
    foreground = background = ""
    cells: list[tuple[str, Rendition]] = []
    for index, piece in enumerate(SGR.split(stream)):
        if index % 2 == 0:
            state = Rendition(";".join(sorted(attributes)), foreground, background)
            cells += [(char, state) for char in piece]
            continue
        words = piece.split(";") if piece else ["0"]
        while words:
            word = words.pop(0)
            if word == "0":
                attributes.clear()
                foreground = background = ""
            elif word in ("38", "48"):
                count = 4 if words[0] == "2" else 2
                color = ";".join([word, *(words.pop(0) for _ in range(count))])
                if word == "38":
                    foreground = color
                else:
                    background = color
            elif word == "39":
                foreground = ""
            elif word == "49":
                background = ""
            elif word[0] in "39" and len(word) == 2:
                foreground = word
            elif word[0] in "41" and len(word) >= 2:
                background = word
            else:
                attributes.add(word)
    assert not attributes
    assert not foreground
    assert not background
    return cells


def random_strip(rng: random.Random) -> Strip:
    colors = [None, Color.parse("red"), Color.parse("color(240)"), Color.from_rgb(1, 2, 3),
              Color.parse("bright_blue"), Color.parse("default")]  # fmt: skip
    segments: list[Segment] = []
    for _ in range(rng.randint(1, 12)):
        style = Style(
            color=rng.choice(colors), bgcolor=rng.choice(colors),
            bold=rng.random() < 0.3, reverse=rng.random() < 0.1, underline=rng.random() < 0.1,
        )  # fmt: skip
        segments.append(Segment("ab▀"[: rng.randint(1, 3)], rng.choice([style, None])))
    return Strip(segments)


def grid(stream: str) -> dict[tuple[int, int], tuple[str, Rendition]]:
    """What a terminal shows after a stream of moves, renditions and text."""
    cells: dict[tuple[int, int], tuple[str, Rendition]] = {}
    y = x = 0
    rest = iter(shown(MOVE.sub(lambda move: f"\x00{move[1]},{move[2]};", stream)))
    for char, state in rest:
        if char == "\x00":
            place = ""
            while (digit := next(rest)[0]) != ";":
                place += digit
            y, x = (int(number) - 1 for number in place.split(","))
        elif char != "\n":
            cells[y, x] = (char, state)
            x += 1
    return cells


def test_the_screen_is_the_same_and_the_bytes_are_fewer() -> None:
    rng = random.Random(5)
    console = Console(color_system="truecolor", force_terminal=True)
    diff = ScreenDiff()
    sent = drawn = ""
    strips = [random_strip(rng) for _ in range(8)]
    for _ in range(60):
        frame = ""
        for _ in range(rng.randint(1, 6)):
            y, x = rng.randint(1, 5), rng.randint(1, 20)
            frame += f"\x1b[{y};{x}H" + rng.choice(strips).render(console) + "\n"
        frame += "\x1b[1;1H"
        drawn += frame
        sent += diff.reduce(frame)
        assert grid(sent) == grid(drawn)
    assert len(sent) < len(drawn)


def test_nothing_is_sent_for_what_is_there() -> None:
    diff = ScreenDiff()
    frame = "\x1b[2;1H\x1b[1;31mabc\x1b[0mdef\x1b[1;1H"
    assert diff.reduce(frame) == frame
    assert diff.reduce(frame) == ""
    assert diff.reduce("\x1b[2;1H\x1b[1;31mabc\x1b[0mdXf\x1b[1;1H") == "\x1b[2;5HX\x1b[1;1H"
    diff.invalidate()
    assert diff.reduce(frame) == frame


def test_what_is_no_drawing_passes_through() -> None:
    diff = ScreenDiff()
    frame = "\x1b[2;1Habc\x1b[1;1H"
    diff.reduce(frame)
    for control in ("\x1b[?2026h", "\x1b]52;c;YQ==\x07", "\x1b[?25l"):
        assert diff.reduce(control) == control
        assert diff.reduce(frame) == ""
    assert diff.reduce("\x1b[?1049h") == "\x1b[?1049h"
    assert diff.reduce(frame) == frame


def test_wide_characters_are_always_sent() -> None:
    diff = ScreenDiff()
    frame = "\x1b[2;1H日本\x1b[1;1H"
    assert diff.reduce(frame) == diff.reduce(frame) == frame
    diff.reduce("\x1b[2;1Habcd\x1b[1;1H")
    diff.reduce(frame)
    assert "abcd" in diff.reduce("\x1b[2;1Habcd\x1b[1;1H")


def test_only_what_changes_of_a_rendition_is_said() -> None:
    assert transition(parse("38;2;1;2;3;48;5;16"), parse("38;2;9;9;9;48;5;16")) == (
        "\x1b[38;2;9;9;9m"
    )
    assert transition(parse("31;44"), parse("44")) == "\x1b[39m"
    assert transition(parse("1;31"), parse("31")) == "\x1b[0;31m"
    assert transition(parse("31"), parse("1;31;42")) == "\x1b[1;42m"
    assert transition(parse("31"), PLAIN) == "\x1b[0m"
    assert transition(PLAIN, PLAIN) == ""
