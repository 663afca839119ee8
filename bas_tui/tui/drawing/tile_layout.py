"""Where the tiles of a gallery lie: pure arithmetic over cells."""

from __future__ import annotations

from typing import NamedTuple

GAP = 2
SMALLEST = 10
STEP = 1.25
"""Factor between two tile sizes."""


class Place(NamedTuple):
    """Cells of one tile, its caption below the picture included."""

    row: int
    column: int
    width: int
    height: int
    caption: int
    """Caption lines at the bottom."""

    def holds(self, column: int, row: int) -> bool:
        """Whether a cell belongs to the tile."""
        inside = self.column <= column < self.column + self.width
        return inside and self.row <= row < self.row + self.height


class Grid(NamedTuple):
    """All tiles at one size."""

    columns: int
    tile_width: int
    tile_height: int

    def place(self, index: int, first_row: int) -> Place:
        """The cells of tile `index` where grid row `first_row` is on top."""
        row, column = divmod(index, self.columns)
        return Place(
            (row - first_row) * self.tile_height,
            column * (self.tile_width + GAP),
            self.tile_width,
            self.tile_height,
            1,
        )


def grid(width: int, height: int, wanted: float) -> Grid:
    """As many tiles of about `wanted` columns as fit; at least one whole row of them."""
    tile = max(4, min(round(max(wanted, SMALLEST)), width, 2 * (height - 1)))
    columns = max(1, (width + GAP) // (tile + GAP))
    return Grid(columns, tile, (tile + 1) // 2 + 1)


def default_width(width: int, height: int) -> int:
    """The tile width for a room: a row of 3 to 5, and two rows of them where that fits well."""
    columns = 3 if width < 100 else 4 if width < 150 else 5
    tile = min((width + GAP) // columns - GAP, 2 * (height - 1))
    rows = height // ((tile + 1) // 2 + 1)
    halved = 2 * (height // 2 - 1)
    return halved if rows < 2 and halved >= 20 and halved >= 0.8 * tile else max(SMALLEST, tile)


def side_by_side(count: int, width: int, height: int, caption: int = 2) -> list[Place]:
    """Places for `count` square pictures, as large as possible."""
    best: tuple[int, int] | None = None
    for columns in range(1, max(1, count) + 1):
        rows = -(-count // columns)
        across = (width + GAP) // columns - GAP
        down = 2 * (height // rows - caption)
        side = min(across, down)
        if best is None or side > best[0]:
            best = side, columns
    assert best is not None
    side, columns = max(4, best[0]), best[1]
    tall = (side + 1) // 2 + caption
    spread = min((width + GAP) // columns - GAP, 2 * side)
    return [
        Place(index // columns * tall, index % columns * (spread + GAP), spread, tall, caption)
        for index in range(count)
    ]
