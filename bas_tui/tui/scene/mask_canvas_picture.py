"""What the mask canvas shows: tool state in, cells out; nothing here knows a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bas_tui.tui.drawing import mask_render
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.halfblock import picture_cells
from bas_tui.tui.drawing.mask_render import Coverage, Layer, Overlay
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.drawing.quantise import to_xterm
from bas_tui.tui.drawing.terminal import Terminal
from bas_tui.tui.drawing.viewport import Viewport
from bas_tui.tui.scene.document import MaskDocument
from engine.scenes.mask_ops import Mask
from engine.scenes.pixel_box import Box, Point
from engine.segments.contract import Click

Tool = Literal["find", "brush", "erase", "box", "flood"]
TOOLS: tuple[Tool, ...] = ("find", "brush", "erase", "box", "flood")
SIZES = (0.0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 90, 128)
"""Brush radii in picture pixels; 0 paints single pixels."""
TOLERANCES = (2, 4, 8, 12, 16, 24, 32, 48, 64, 96)
TINT, FEW_COLORS_TINT = 0.45, 0.8
"""Opacity of the masks; with 16 colours a weak tint would not be seen."""


@dataclass(frozen=True, kw_only=True)
class ToolState:
    """What the tool bar shows."""

    tool: Tool = "brush"
    size: int = 9
    """Index into SIZES."""
    tolerance: int = 5
    """Index into TOLERANCES."""
    pen: bool = False
    corner: Point | None = None
    """First corner of a box that waits for its second."""
    overlay: Overlay = "tint"
    zoom: int = 0
    scale: float = 1.0
    """Picture pixels per dot."""

    @property
    def radius(self) -> float:
        """Brush radius in picture pixels."""
        return SIZES[self.size]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A thing that is being looked for, or was found and waits to be taken."""

    mask: Mask | None
    """None while it is looked for."""
    color: int
    """Index of the concept that it would be."""
    clicks: tuple[Click, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What lies over the picture besides the masks."""

    cursor: Point | None
    """Where the brush is; None while neither keyboard nor mouse is here."""
    painting: bool = False
    preview: Preview | None = None
    square: Box | None = None
    """The square that training cuts out; what lies outside is drawn dark."""
    instead: mask_render.Picture | None = None
    """A picture of the same size that is shown in place of picture and masks."""


class CanvasPicture:
    """Draws a document; keeps what it sampled until view or mask change."""

    def __init__(self) -> None:
        self._picture: tuple[Viewport, mask_render.Picture, mask_render.Picture] | None = None
        """The window, the picture, and what is seen of it."""
        self._covers: dict[int, tuple[object, Coverage]] = {}

    def forget(self, key: int | None = None) -> None:
        """A mask changed in place; None: all may have."""
        if key is None:
            self._covers.clear()
        else:
            self._covers.pop(key, None)

    def cells(
        self,
        document: MaskDocument,
        current: int,
        view: Viewport,
        state: ToolState,
        marks: Marks,
        terminal: Terminal,
    ) -> Cells:
        """The picture with masks and marks in a window of `view.rows` x `view.columns` cells."""
        hidden = marks.instead is not None
        picture = document.image if marks.instead is None else marks.instead
        layers = [] if hidden else self._layers(document, current, view)
        strength = TINT if terminal.colors > 16 else FEW_COLORS_TINT
        # The current concept lies on top, so that its outline is never hidden.
        on_top = sorted(layers, key=lambda item: item[0].active)
        overlay = "none" if hidden else state.overlay
        pixels = mask_render.compose(self._sampled(picture, view), on_top, overlay, strength)
        pixels = pixels.copy()
        cover = _preview_cover(marks.preview, view)
        if cover is not None and marks.preview is not None:
            mask_render.draw_preview(pixels, cover, concept_color(marks.preview.color).rgb)
        _draw_marks(pixels, view, state, marks)
        if terminal.quantise:
            pixels = to_xterm(pixels)
        inner = picture_cells(pixels, terminal)
        if not terminal.blocks and state.overlay != "none":
            letters = _letters(layers, inner.chars.shape)
            if cover is not None:
                letters[cover.reshape(letters.shape[0], 2, -1).mean(axis=1) > 0.5] = ord("?")
            inner = inner._replace(chars=np.where(letters > 0, letters, inner.chars))
        cells = Cells.blank(view.rows, view.columns)
        cells.paste(view.offset[1], view.offset[0], inner)
        return cells

    def _sampled(self, picture: mask_render.Picture, view: Viewport) -> mask_render.Picture:
        known = self._picture
        if known is None or known[0] != view or known[1] is not picture:
            known = self._picture = (view, picture, mask_render.sample_picture(picture, view))
        return known[2]

    def _layers(
        self, document: MaskDocument, current: int, view: Viewport
    ) -> list[tuple[Layer, Coverage]]:
        if self._picture is None or self._picture[0] != view:
            self._covers.clear()
        layers: list[tuple[Layer, Coverage]] = []
        for index, concept in enumerate(document.concepts):
            mask = document.mask(concept.key)
            known = self._covers.get(concept.key)
            if known is None or known[0] is not mask:
                known = (mask, mask_render.sample_mask(mask, view))
                self._covers[concept.key] = known
            layer = Layer(mask, concept_color(index).rgb, concept.key == current)
            layers.append((layer, known[1]))
        return layers


def write_cursor(cells: Cells, view: Viewport, at: Point, down: bool, ink: int) -> None:
    """Where there are no blocks, write the brush in brackets: any single character may be the
    picture's own."""
    column, half_row = view.to_dots(at)
    x, y = int(column) + view.offset[0], int(half_row) // 2 + view.offset[1]
    cells.write(y, x - 1, "[X]" if down else "[+]", ink)


def _draw_marks(
    pixels: mask_render.Picture, view: Viewport, state: ToolState, marks: Marks
) -> None:
    if marks.square is not None and state.overlay != "none":
        mask_render.dim_outside(pixels, view, marks.square)
    if marks.preview is not None:
        if marks.preview.box is not None:
            x0, y0, x1, y1 = marks.preview.box
            mask_render.draw_frame(pixels, view, Point(x0, y0), Point(x1 - 1, y1 - 1))
        for click in marks.preview.clicks:
            mask_render.draw_click(pixels, view, click.at, click.adds)
    if state.corner is not None and marks.cursor is not None:
        mask_render.draw_frame(pixels, view, state.corner, marks.cursor)
    if marks.cursor is not None and marks.instead is None:
        ring = state.radius if state.tool in ("brush", "erase") else 0.0
        mask_render.draw_ring(pixels, view, marks.cursor, ring, state.pen or marks.painting)


def _preview_cover(preview: Preview | None, view: Viewport) -> Coverage | None:
    if preview is None or preview.mask is None:
        return None
    return mask_render.sample_mask(preview.mask, view)


def _letters(
    layers: list[tuple[Layer, Coverage]], shape: tuple[int, ...]
) -> npt.NDArray[np.uint32]:
    """What stands for the masks without colours: a capital for the current one; 0: no mask."""
    letters = np.zeros(shape, np.uint32)
    for index, (layer, cover) in enumerate(layers):
        letter = concept_color(index).letter
        covered = cover.reshape(shape[0], 2, -1).mean(axis=1) > 0.5
        letters[covered] = ord(letter if layer.active else letter.lower())
    return letters
