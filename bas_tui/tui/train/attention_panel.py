"""Per token its mask beside its live attention map, with IoU and leak."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from textual import events

from bas_tui.run_health import LEAK_LIMIT
from bas_tui.run_state import AttentionFrame
from bas_tui.tui.drawing.axis import UNIT_AXIS
from bas_tui.tui.drawing.cells import OWN, Cells
from bas_tui.tui.drawing.chart import MARGIN, ChartView, Curve, draw_chart, smooth
from bas_tui.tui.drawing.halfblock import picture_cells
from bas_tui.tui.drawing.palette import concept_color, heat_scale
from bas_tui.tui.drawing.quantise import to_levels
from bas_tui.tui.train.pane import Pane, span_end
from engine.runs.events import ConceptInfo, unpack_map

LEVELS = 12
GAP = 2
HEAT = heat_scale(LEVELS)
TREND_ROWS = 7
Grid = NDArray[np.uint8]


class Layout(NamedTuple):
    """How the tokens are arranged in a pane of cells."""

    zoom: int
    """Pixels a side for one value of the grid."""
    across: int
    """Tokens side by side."""
    width: int
    """Columns of one token: mask, gap, map."""
    height: int
    """Rows of one token: title, picture, a blank row where there is room."""
    down: int
    """Tokens below each other that fit."""


def arrange(columns: int, rows: int, grid: int, tokens: int) -> Layout:
    """The largest zoom at which all tokens fit, else the smallest with as many as fit."""
    smallest = max(1, -(-16 // grid)) if grid < 16 else 1
    layout = _layout(columns, rows, grid, smallest)
    for zoom in range(smallest + 1, 9):
        larger = _layout(columns, rows, grid, zoom)
        if larger.width > columns or larger.across * larger.down < tokens:
            break
        layout = larger
    return layout


def _layout(columns: int, rows: int, grid: int, zoom: int) -> Layout:
    side = grid * zoom
    width, height = 2 * side + GAP, (side + 1) // 2 + 1
    across = max(1, (columns + GAP) // (width + GAP))
    down = max(1, (rows + 1) // (height + 1))
    if down * (height + 1) - 1 > rows or (rows + 1) // (height + 1) < rows // height:
        # Without blank rows between them more tokens fit.
        return Layout(zoom, across, width, height, max(1, rows // height))
    return Layout(zoom, across, width, height + 1, down)


def frame_at(frames: Sequence[AttentionFrame], step: int | None) -> AttentionFrame | None:
    """The newest frame at or before `step`; None where there is none."""
    if step is None:
        return frames[-1] if frames else None
    index = bisect_right(frames, step, key=lambda frame: frame.step)
    return frames[index - 1] if index else None


class AttentionPanel(Pane):
    """Masks and maps of all tokens."""

    HELP_TEXT = (
        "Left the mask of each concept on the attention grid, right where its token's "
        "cross-attention looks now. IoU: overlap of the map's bright half with the mask (1 is "
        "best). Leak: share of the attention outside the mask (0 is best; above half is a "
        "warning). up and down show more concepts where not all fit."
    )

    def __init__(self) -> None:
        super().__init__("Attention", id="maps")
        self._first = 0
        self._levels: dict[str, NDArray[np.int64]] = {}

    def paint_pane(self) -> None:
        """Every token that fits, from the first shown one on."""
        columns, rows = self.size
        cells = Cells.blank(rows, columns)
        concepts = self.state.concepts
        grid = self.state.grid or 16
        if not concepts:
            cells.write(0, 0, "appears when training starts"[:columns], self.ink("faint"))
            self.paint(cells)
            return
        layout = arrange(columns, rows, grid, len(concepts))
        fit = layout.across * layout.down
        self._first = max(0, min(self._first, len(concepts) - fit))
        shown = concepts[self._first : self._first + fit]
        for place, concept in enumerate(shown):
            row = (place // layout.across) * layout.height
            column = (place % layout.across) * (layout.width + GAP)
            self._draw_token(cells, row, column, layout, self._first + place, concept, grid)
        hidden = len(concepts) - len(shown)
        self.set_title("Attention" + (f" · {hidden} more: up, down" if hidden else ""))
        used = -(-len(shown) // layout.across) * layout.height
        self._draw_trend(cells, used + 1, rows - used - 1, columns)
        self.paint(cells)

    def _draw_trend(self, cells: Cells, row: int, rows: int, columns: int) -> None:
        """How the IoU of every token grew, where there is room below the maps."""
        if rows < TREND_ROWS or not self.state.attention:
            return
        curves: list[Curve] = []
        for index, concept in enumerate(self.state.concepts):
            frames = self.state.attention.get(concept.token, ())
            if not len(frames):
                continue
            steps = np.array([frame.step for frame in frames], dtype=np.float64)
            ious = smooth([frame.iou for frame in frames])
            ink = self.concept_ink(index)
            curves.append(Curve(steps=steps, raw=ious, average=ious, color=ink, dim_color=ink))
        view = ChartView(
            first=1,
            last=span_end(self.state),
            log=False,
            raw=False,
            cursor=self.at,
            axis=UNIT_AXIS,
            dividers=tuple(plan.first for plan in self.state.phases if plan.number > 1),
            ascii=self.terminal.ascii,
            faint=self.ink("faint"),
            accent=self.ink("accent"),
            highlight=self.ink("panel") if self.terminal.colors > 16 else OWN,
        )
        cells.write(
            row, MARGIN, "IoU with the mask, smoothed"[: columns - MARGIN], self.ink("faint")
        )
        cells.paste(row + 1, 0, draw_chart(curves, view, rows - 1, columns))

    def _draw_token(
        self, cells: Cells, row: int, column: int, layout: Layout, index: int,
        concept: ConceptInfo, grid: int,
    ) -> None:  # fmt: skip
        color = concept_color(index)
        plain = self.terminal.colors == 0
        ink = self.concept_ink(index)
        frame = frame_at(self.state.attention.get(concept.token, ()), self.at)
        right = ""
        if frame is not None:
            mark = "!" if frame.leak > LEAK_LIMIT else " "
            right = f"IoU {frame.iou:.2f}{mark}leak {frame.leak:3.0%}"
        room = layout.width - len(right) - 1
        name = concept.token if concept.name == concept.token.strip("<>") else concept.name
        label = f"{color.letter} {name}" if plain or self.terminal.ascii else f"■ {name}"
        cells.write(row, column, label[:room], ink)
        level = "warning" if frame is not None and frame.leak > LEAK_LIMIT else "faint"
        cells.write(row, column + layout.width - len(right), right, self.ink(level))
        side = grid * layout.zoom
        mask = _grid_of(concept.mask, grid)
        if self.terminal.blocks:
            off = np.array([34, 38, 45], dtype=np.uint8)
            pixels = np.where(mask[..., None] > 127, np.array(color.rgb, dtype=np.uint8), off)
            self._place(cells, row + 1, column, pixels, layout.zoom)
        else:
            chars = np.where(mask > 127, ord(color.letter), ord(".")).astype(np.uint8)
            _place_chars(cells, row + 1, column, _zoomed(chars, layout.zoom)[::2])
        if frame is None:
            cells.write(
                row + 1 + side // 4, column + side + GAP + 1, "no map yet", self.ink("faint")
            )
            return
        values = _grid_of(frame.packed, grid) / 255.0
        levels = to_levels(values, LEVELS, self._levels.get(concept.token))
        self._levels[concept.token] = levels
        few = self.terminal.colors <= 16
        terminal = replace(self.terminal, ascii=True) if few else self.terminal
        heat = picture_cells(_zoomed(HEAT[levels], layout.zoom), terminal)
        cells.paste(row + 1, column + side + GAP, heat)

    def _place(self, cells: Cells, row: int, column: int, pixels: Grid, zoom: int) -> None:
        cells.paste(row, column, picture_cells(_zoomed(pixels, zoom), self.terminal))

    def scroll_tokens(self, by: int) -> None:
        """Show later or earlier tokens."""
        self._first += by
        self.draw()

    def on_key(self, event: events.Key) -> None:
        """Up and down, also as j and k."""
        by = {"down": 1, "j": 1, "up": -1, "k": -1}.get(event.key)
        if by is not None:
            event.stop()
            self.scroll_tokens(by)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel: later tokens."""
        event.stop()
        self.scroll_tokens(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel: earlier tokens."""
        event.stop()
        self.scroll_tokens(-1)


def _grid_of(packed: str, grid: int) -> Grid:
    values = np.frombuffer(unpack_map(packed), dtype=np.uint8)
    if len(values) != grid * grid:
        return np.zeros((grid, grid), dtype=np.uint8)
    return values.reshape(grid, grid)


def _zoomed(values: Grid, zoom: int) -> Grid:
    return values.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _place_chars(cells: Cells, row: int, column: int, chars: Grid) -> None:
    room = cells.chars[row : row + chars.shape[0], column : column + chars.shape[1]]
    room[:] = chars[: room.shape[0], : room.shape[1]]
