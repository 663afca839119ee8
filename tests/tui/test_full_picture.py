"""One picture on the whole terminal."""

from __future__ import annotations

from bas_tui.tui.drawing.halfblock import Photograph
from bas_tui.tui.shell.full_picture import FullPicture
from tests.tui.pilots import until
from tests.tui.test_compose_screen import composing, make_run


async def test_a_picture_on_the_whole_terminal() -> None:
    async with composing(make_run("tea", 2)) as (pilot, screen):
        await until(pilot, lambda: len(screen.gallery.tiles) == 2, "the pictures")
        screen.set_focus(screen.gallery)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, FullPicture), "the picture")
        canvas = pilot.app.screen.query_one(Photograph)
        rows = pilot.app.size.height
        await until(pilot, lambda: canvas.cells.chars.shape == (rows, 2 * rows), "all of it")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen, "the gallery again")
