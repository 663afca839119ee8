"""Each mask as the attention loss sees it: on the attention grid (method, equation 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.drawing.halfblock import picture_cells
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.scene.training_view import Inspection
from bas_tui.tui.scene.undo_history import Concept
from engine.scenes.mask_grid import GridMasks, mask_grid

GAP = 2
EMPTY = 38
"""Grey of a cell that sees nothing of the mask."""


class MaskGrids(CellCanvas):
    """Small pictures of grid x grid dots, side by side, as many as fit in rows."""

    DEFAULT_CSS = "MaskGrids { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[Sequence[Concept], Inspection | None] = ((), None)

    def show(self, concepts: Sequence[Concept], inspection: Inspection | None) -> None:
        """The grids of an inspection; a grid wider than the widget is drawn at half the size."""
        self._shown = concepts, inspection
        self._draw()

    def on_resize(self) -> None:
        """Other rows."""
        self._draw()

    def _draw(self) -> None:
        width = self.size.width
        concepts, inspection = self._shown
        grids = [] if inspection is None else [inspection.grids.get(c.key) for c in concepts]
        shown = [_fitting(grid, width) for grid in grids if grid is not None]
        if not shown or width < 1:
            self.styles.height = 0
            self.paint(Cells.blank(0, 0))
            return
        side = shown[0].shape[0]
        per_row = max(1, (width + GAP) // (side + GAP))
        rows = (side + 1) // 2
        lines = (len(shown) + per_row - 1) // per_row * (rows + 1)
        self.styles.height = lines
        cells = Cells.blank(lines, width)
        terminal = getattr(self.app, "terminal", Terminal())
        for index, (concept, grid) in enumerate(zip(concepts, shown, strict=True)):
            color = np.array(concept_color(index).rgb)
            pixels = (EMPTY + (color - EMPTY) * grid[..., None]).round().astype(np.uint8)
            row, column = index // per_row * (rows + 1), index % per_row * (side + GAP)
            cells.paste(row, column, picture_cells(pixels, terminal))
            cells.write(row + rows, column, concept.name[:side])
        self.paint(cells)


def _fitting(grid: GridMasks, width: int) -> GridMasks:
    while grid.shape[0] > max(1, width):
        grid = mask_grid(grid[None], (grid.shape[0] + 1) // 2, rule="area")[0]
    return grid
