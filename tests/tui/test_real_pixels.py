"""Pictures as real pixels: what a terminal with kitty's placeholders would show of what is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.pilot import Pilot

from bas_tui.tui.app import Start
from bas_tui.tui.drawing import kitty
from bas_tui.tui.drawing.graphics import Answer, known_protocol
from bas_tui.tui.drawing.real_pixels import MOST_KEPT, RealPixels
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.drawing.tmux import Tmux
from bas_tui.tui.shell.dialogs import Confirm
from tests.tui.harness import WRITTEN, record
from tests.tui.kitty_terminal import KittyTerminal
from tests.tui.measure import apart
from tests.tui.pilots import runs_screen, until
from tests.tui.synthetic import make_run, scene_picture


def seen(terminal: Terminal) -> tuple[list[tuple[int, int, int, int]], int, float, int]:
    """Of the Runs screen: pictures (columns, rows, cells shown, cells behind a dialog), how many
    are left in the end, the error of the thumbnail, the bytes of a second look."""
    make_run("desk", steps=(12, 12))
    make_run("shelf", steps=(12, 12), concepts=4)
    pictures: list[tuple[int, int, int, int]] = []
    again = 0
    error = 255.0

    async def act(pilot: Pilot[Any]) -> None:
        nonlocal again, error
        await runs_screen(pilot, 2)
        passed = terminal.tmux is not None

        def look() -> KittyTerminal:
            return KittyTerminal("".join(WRITTEN), passed=passed)

        await until(pilot, lambda: bool(look().shown()), "a picture")
        await pilot.press("down")
        await until(pilot, lambda: len(look().sent) == 2, "the other run's picture")
        screen = look()
        ((number, cells),) = screen.shown().items()
        sent = screen.sent[number]
        before = sum(map(len, WRITTEN))
        await pilot.press("up")
        await pilot.pause(0.2)
        again = sum(map(len, WRITTEN)) - before
        await pilot.app.push_screen(Confirm("Really?"))
        await pilot.pause(0.2)
        behind = look().shown()
        pictures.append((sent.columns, sent.rows, len(cells), sum(map(len, behind.values()))))
        pilot.app.pop_screen()
        await pilot.pause(0.2)
        shown = look()
        ((number, _),) = shown.shown().items()
        pixels = shown.sent[number].pixels
        wanted = Image.fromarray(scene_picture(4)).resize((pixels.shape[1], pixels.shape[0]))
        # Away from the masks' tint.
        error = float(np.abs(pixels[-8:].astype(int) - np.asarray(wanted)[-8:]).mean())

    written = asyncio.run(record(Start(), terminal, (120, 36), act))
    left = len(KittyTerminal(written, passed=terminal.tmux is not None).sent)
    return pictures, left, error, again


@pytest.mark.parametrize(
    "terminal",
    [
        Terminal(graphics=True),
        Terminal(graphics=True, colors=256, tmux=Tmux(passthrough=True, outer="kitty(0.38.1)")),
    ],
    ids=["truecolor", "tmux in 256 colours"],
)
def test_a_picture_is_sent_once_shown_whole_hidden_behind_dialogs_and_freed(
    terminal: Terminal,
) -> None:
    ((columns, rows, cells, behind),), left, error, again = apart(seen, terminal)
    assert cells == columns * rows > 200
    assert behind == 0
    assert left == 0
    assert error < 3
    # The first picture comes back as characters alone; 36x18 cells of blocks would be the same.
    assert again < 9_000


def test_the_terminal_keeps_a_bounded_number_of_pictures() -> None:
    sent: list[str] = []
    sender = RealPixels(sent.append, cell=(8, 16), truecolor=True, tmux=False)
    colors = [
        int(sender.cells(np.full((32, 32, 3), value, np.uint8), 10, 5).fg[0, 0])
        for value in range(MOST_KEPT + 20)
    ]
    assert len(set(colors[-MOST_KEPT:])) == MOST_KEPT
    assert [sender.shows(color) for color in colors[-MOST_KEPT:]] == [True] * MOST_KEPT
    assert len(KittyTerminal("".join(sent)).sent) == MOST_KEPT
    count = len(sent)
    sender.cells(np.full((32, 32, 3), MOST_KEPT + 19, np.uint8), 10, 5)
    assert len(sent) == count
    wide = sender.cells(np.zeros((20, 3000, 3), np.uint8), 400, 30)
    assert wide.chars.shape[1] == kitty.MOST_CELLS


@pytest.mark.parametrize(
    ("environ", "tmux", "protocol"),
    [
        ({"TERM": "xterm-ghostty"}, None, "kitty"),
        ({"TERM": "xterm-kitty"}, None, ""),  # Its version is asked for.
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, None, "iterm"),
        ({"TERM": "foot"}, None, "sixel"),
        ({"TERM": "xterm-256color"}, None, ""),
        ({"TERM": "screen-256color", "TERM_PROGRAM": "WezTerm"}, None, ""),
        ({"TERM": "tmux-256color"}, Tmux(passthrough=True, outer="kitty(0.38.1)"), "kitty"),
        ({"TERM": "tmux-256color"}, Tmux(passthrough=False, outer="kitty(0.38.1)"), ""),
        ({"TERM": "tmux-256color"}, Tmux(passthrough=True, outer="kitty(0.26.5)"), ""),
        ({"TERM": "tmux-256color"}, Tmux(passthrough=True, outer="XTerm(390)"), ""),
    ],
)
def test_what_the_environment_says_of_graphics(
    environ: dict[str, str], tmux: Tmux | None, protocol: str
) -> None:
    assert known_protocol(environ, tmux) == protocol


@pytest.mark.parametrize(
    ("name", "attributes", "protocol"),
    [
        ("kitty(0.28.0)", ("62",), "kitty"),
        ("kitty(0.27.1)", ("62",), ""),
        ("ghostty 1.1.0", ("62", "22"), "kitty"),
        ("WezTerm 20240203", ("65", "4"), "iterm"),
        ("XTerm(390)", ("64", "1", "4"), "sixel"),
        ("", ("64", "1"), ""),
    ],
)
def test_what_an_answer_says_of_graphics(
    name: str, attributes: tuple[str, ...], protocol: str
) -> None:
    assert Answer(name, attributes).protocol == protocol
