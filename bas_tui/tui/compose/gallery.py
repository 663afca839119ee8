"""Generated pictures: all of them as tiles, one large, or marked ones side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.halfblock import Pixels, load_picture, photo_cells
from bas_tui.tui.drawing.tile_layout import (
    STEP,
    Grid,
    Place,
    default_width,
    grid,
    side_by_side,
)
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.picture_files import Picture
from bas_tui.tui.shell.quiet_focus import QuietFocus

Mode = Literal["all", "large", "compare"]
CACHE = 160
"""Decoded pictures that are kept."""
MAX_SIDE = 320
"""Larger pictures are kept scaled down to this."""
PREVIEW_SECONDS = 0.5
"""Step previews are drawn at most this often: a picture costs some kilobytes."""


@dataclass(frozen=True)
class Tile:
    """A picture, or one that is being drawn."""

    picture: Picture | None = None
    pending: str = ""
    """What to say while there is no picture."""
    preview: Path | None = None
    """The newest step preview."""

    @property
    def path(self) -> Path | None:
        """The file to show."""
        return self.picture.path if self.picture is not None else self.preview


class Gallery(QuietFocus):
    """Tiles to choose, mark, enlarge and compare. `show` gives it what there is, newest first."""

    SCOPE = "gallery"
    HELP_TEXT = (
        "Pictures made with this run and with others chosen here, newest first. Space marks, c "
        "shows the marked ones side by side, enter one large, v one on the whole terminal; u takes "
        "over a picture's settings. The mouse chooses; a double click enlarges."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "gallery"))

    class Chosen(Message):
        """Another picture, or another view."""

    class Loaded(Message):
        """Pictures were decoded."""

        def __init__(self, pixels: dict[Path, Pixels | None]) -> None:
            super().__init__()
            self.pixels = pixels

    def __init__(
        self,
        *,
        id: str | None = None,
        empty: Sequence[str] = ("No pictures yet.", "Write a prompt and press enter."),
    ) -> None:
        """`empty`: what to say while there is no picture."""
        super().__init__(id=id)
        self._empty = empty
        self.tiles: list[Tile] = []
        self.selected = 0
        self.marked: list[Path] = []
        self.mode: Mode = "all"
        self.runs = 1
        """How many runs the pictures come from; above 1 captions say which."""
        self._width_choice = 0
        """Steps from the default tile width."""
        self._first_row = 0
        self._pixels: dict[Path, Pixels | None] = {}
        self._asked: set[Path] = set()
        self._drawn_at = 0.0
        self._timer: Timer | None = None

    @property
    def current(self) -> Picture | None:
        """The chosen picture."""
        if 0 <= self.selected < len(self.tiles):
            return self.tiles[self.selected].picture
        return None

    def show(self, tiles: Sequence[Tile], *, runs: int = 1) -> None:
        """Other tiles; the chosen picture stays chosen where it is still there."""
        keep = self.current.path if self.current is not None else None
        self.tiles, self.runs = list(tiles), runs
        places = [i for i, tile in enumerate(tiles) if tile.picture and tile.picture.path == keep]
        if places:
            self.selected = places[0]
        self.selected = max(0, min(self.selected, len(self.tiles) - 1))
        there = {tile.picture.path for tile in tiles if tile.picture}
        self.marked = [path for path in self.marked if path in there]
        if self.mode == "compare" and len(self.compared()) < 2:
            self.mode = "all"
        self.draw()

    def compared(self) -> list[Tile]:
        """The marked pictures; with one mark the chosen one joins, with none its neighbour."""
        wanted = list(self.marked)
        for tile in (*self.tiles[self.selected : self.selected + 2], *self.tiles[:1]):
            if len(wanted) < 2 and tile.picture and tile.picture.path not in wanted:
                wanted.append(tile.picture.path)
        by_path = {tile.picture.path: tile for tile in self.tiles if tile.picture}
        return [by_path[path] for path in wanted if path in by_path]

    # Drawing

    def draw(self, *, soon: bool = False) -> None:
        """Draw now; with `soon` within the time between step previews."""
        if soon:
            wait = self._drawn_at + PREVIEW_SECONDS - time.monotonic()
            if wait > 0:
                if self._timer is None:
                    self._timer = self.set_timer(wait, self._late)
                return
        self._drawn_at = time.monotonic()
        rows, columns = self.size.height, self.size.width
        if not rows or not columns or not self.is_mounted:
            return
        cells = Cells.blank(rows, columns)
        if not self.tiles:
            self._write_empty(cells)
        for tile, place, chosen in self._placed(columns, rows):
            self._draw_tile(cells, tile, place, chosen)
        self.paint(cells)

    def _late(self) -> None:
        self._timer = None
        self.draw()

    def _placed(self, columns: int, rows: int) -> list[tuple[Tile, Place, bool]]:
        """The visible tiles with their places."""
        if not self.tiles:
            return []
        if self.mode == "large":
            return [(self.tiles[self.selected], side_by_side(1, columns, rows)[0], True)]
        if self.mode == "compare":
            tiles = self.compared()
            places = side_by_side(len(tiles), columns, rows, caption=3)
            current = self.tiles[self.selected]
            return [(t, p, t is current) for t, p in zip(tiles, places, strict=True)]
        shape = self._grid(columns, rows)
        row = self.selected // shape.columns
        visible = max(1, rows // shape.tile_height)
        self._first_row = min(max(self._first_row, row - visible + 1), row)
        placed: list[tuple[Tile, Place, bool]] = []
        for index, tile in enumerate(self.tiles):
            place = shape.place(index, self._first_row)
            if place.row >= 0 and place.row + place.height <= max(rows, place.height):
                placed.append((tile, place, index == self.selected))
        return placed

    def _grid(self, columns: int, rows: int) -> Grid:
        return grid(columns, rows, default_width(columns, rows) * STEP**self._width_choice)

    def _draw_tile(self, cells: Cells, tile: Tile, place: Place, chosen: bool) -> None:
        height = place.height - place.caption
        path = tile.path
        pixels = None
        if path is not None:
            pixels = self._pixels.get(path)
            if path not in self._pixels:
                self._ask(path)
        if pixels is None:
            words = tile.pending or ("..." if path not in self._pixels else "unreadable")
            cells.write(place.row + height // 2, place.column + 1, words[: place.width - 1],
                        self.ink("faint"))  # fmt: skip
        else:
            photo = photo_cells(pixels, place.width, height, self.terminal)
            cells.paste(place.row, place.column, photo.cells)
        self._caption(cells, tile, place, height, chosen)

    def _caption(self, cells: Cells, tile: Tile, place: Place, height: int, chosen: bool) -> None:
        picture = tile.picture
        marked = picture is not None and picture.path in self.marked
        mark = ("●" if marked else "") if not self.terminal.ascii else "*" if marked else ""
        ink = self.ink("primary" if chosen else "accent" if marked else "faint")
        lines: list[str]
        if picture is None:
            lines = [tile.pending if tile.preview is not None else ""]
        else:
            recipe = picture.recipe
            if place.caption == 1:
                # The verdict first: a seed of nine figures would push it out of a narrow tile.
                run = recipe.run if self.runs > 1 else ""
                words = (recipe.verdict, str(recipe.seed), run)
                lines = [mark + " ".join(word for word in words if word)]
            else:
                where = f"{recipe.run} on {Path(recipe.base).name}"
                lines = [f"{mark}{recipe.read_prompt()}", recipe.details(), where]
        for offset, line in enumerate(lines[: place.caption]):
            row = place.row + height + offset
            text = line if len(line) <= place.width else line[: place.width - 1] + "…"
            cells.write(row, place.column, text, ink)
        if chosen and self.has_focus and 0 <= place.row + height < cells.chars.shape[0]:
            row = place.row + height
            columns = slice(place.column, place.column + place.width)
            cells.bg[row, columns] = self.ink("primary")
            cells.fg[row, columns] = self.ink("background")

    def _write_empty(self, cells: Cells) -> None:
        for row, line in enumerate(self._empty):
            cells.write(row, 0, line, self.ink("faint"))

    def _ask(self, path: Path) -> None:
        if path in self._asked:
            return
        if not self._asked:
            self.call_after_refresh(self._load_asked)
        self._asked.add(path)

    def _load_asked(self) -> None:
        paths = tuple(self._asked)
        self.run_worker(lambda: self._load(paths), thread=True, group="load")

    def _load(self, paths: tuple[Path, ...]) -> None:
        found: dict[Path, Pixels | None] = {}
        for path in paths:
            pixels = load_picture(path)
            if pixels is not None and max(pixels.shape[:2]) > MAX_SIDE:
                import cv2
                import numpy as np

                factor = MAX_SIDE / max(pixels.shape[:2])
                small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
                pixels = np.asarray(small, np.uint8)
            found[path] = pixels
        self.post_message(self.Loaded(found))

    def on_gallery_loaded(self, event: Loaded) -> None:
        """Draw what was decoded; the oldest decoded pictures are let go."""
        event.stop()
        self._asked -= set(event.pixels)
        self._pixels |= event.pixels
        for path in list(self._pixels)[: max(0, len(self._pixels) - CACHE)]:
            del self._pixels[path]
        self.draw()

    def on_resize(self) -> None:
        """Other room, other tiles."""
        self.draw()

    # Actions

    def _moved(self) -> None:
        self.draw()
        self.post_message(self.Chosen())

    def action_move(self, dx: int, dy: int) -> None:
        """Another picture."""
        if not self.tiles:
            return
        if self.mode == "all":
            step = dx + dy * self._grid(self.size.width, self.size.height).columns
            if 0 <= self.selected + step < len(self.tiles):
                self.selected += step
        elif self.mode == "large":
            self.selected = max(0, min(len(self.tiles) - 1, self.selected + (dx or dy)))
        else:
            shown = self.compared()
            current = self.tiles[self.selected]
            place = shown.index(current) if current in shown else 0
            self.selected = self.tiles.index(shown[(place + (dx or dy)) % len(shown)])
        self._moved()

    def action_move_to(self, index: int) -> None:
        """First or last."""
        self.selected = 0 if index == 0 else max(0, len(self.tiles) - 1)
        self._moved()

    def action_large(self) -> None:
        """One picture, or all."""
        self.mode = "all" if self.mode == "large" or not self.tiles else "large"
        self._moved()

    def action_full(self) -> None:
        """The picture and nothing else."""
        if self.current is not None:
            self.app.push_screen(FullPicture(self.current.path))

    def action_mark(self) -> None:
        """Mark or unmark."""
        picture = self.current
        if picture is not None:
            if picture.path in self.marked:
                self.marked.remove(picture.path)
            else:
                self.marked.append(picture.path)
            self._moved()

    def action_unmark(self) -> None:
        """No marks."""
        self.marked = []
        self._moved()

    def action_compare(self) -> None:
        """Side by side, or all."""
        self.mode = "compare" if self.mode != "compare" and len(self.compared()) > 1 else "all"
        self._moved()

    def action_size(self, steps: int) -> None:
        """Larger or smaller tiles."""
        self._width_choice = max(-4, min(6, self._width_choice + steps))
        self._moved()

    def action_back(self) -> None:
        """Back to all."""
        if self.mode != "all":
            self.mode = "all"
            self._moved()

    def on_click(self, event: events.Click) -> None:
        """Choose; a double click enlarges."""
        for tile, place, _ in self._placed(self.size.width, self.size.height):
            if place.holds(event.x, event.y):
                self.selected = self.tiles.index(tile)
                if event.chain == 2:
                    self.action_large()
                else:
                    self._moved()
                return

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """A row further."""
        event.stop()
        self.action_move(0, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """A row back."""
        event.stop()
        self.action_move(0, -1)
