"""Each mask as the attention loss sees it: sampled to the attention grid (method, equation 2)."""

from __future__ import annotations

import numpy as np

from bas_tui.tui.drawing.cells import CellCanvas, Cells
from bas_tui.tui.drawing.halfblock import picture_cells
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.pixel_box import Box

GAP = 2


class MaskGrids(CellCanvas):
    """Small pictures of grid x grid dots, side by side, as many as fit in rows."""

    DEFAULT_CSS = "MaskGrids { height: auto; }"

    def show(self, document: MaskDocument | None, square: Box | None, grid: int = 16) -> None:
        """Sample the masks nearest inside the training square, as `engine.method.grid` does."""
        width = self.size.width
        if document is None or width < grid or not document.concepts:
            self.styles.height = 0
            self.paint(Cells.blank(0, 0))
            return
        per_row = max(1, (width + GAP) // (grid + GAP))
        count = len(document.concepts)
        lines = (count + per_row - 1) // per_row
        each = grid // 2 + 1
        self.styles.height = lines * each
        cells = Cells.blank(lines * each, width)
        terminal = getattr(self.app, "terminal", Terminal())
        for index, concept in enumerate(document.concepts):
            mask = document.mask(concept.key)
            mask = mask if square is None else mask[square.slices]
            height, span = mask.shape
            seen = mask[np.ix_(np.arange(grid) * height // grid, np.arange(grid) * span // grid)]
            color = concept_color(index)
            pixels = np.where(seen[..., None], np.array(color.rgb), 38).astype(np.uint8)
            part = picture_cells(pixels, terminal)
            row, column = index // per_row * each, index % per_row * (grid + GAP)
            for whole, piece in zip(cells, part, strict=True):
                whole[row : row + grid // 2, column : column + grid] = piece
            cells.write(row + grid // 2, column, concept.name[:grid])
        self.paint(cells)
