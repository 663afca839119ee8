"""The picture with its masks, painted on by mouse or wholly by keyboard.

Strokes are made at the picture's resolution, so zooming in refines them. Every mouse move is
painted, but the screen is drawn at most `FRAMES` times a second and only changed spans are sent.
"""

from __future__ import annotations

import time
from typing import ClassVar, Literal

from textual import events
from textual.binding import BindingType
from textual.timer import Timer

from bas_tui.tui.drawing import mask_render
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.mask_render import Overlay
from bas_tui.tui.drawing.viewport import Viewport
from bas_tui.tui.scene.canvas_messages import BoxDrawn, Decided, Edited, Pointed, StateChanged
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.keys import KEYS
from bas_tui.tui.scene.mask_canvas_picture import (
    SIZES,
    TOLERANCES,
    CanvasPicture,
    Marks,
    Preview,
    Tool,
    ToolState,
    write_cursor,
)
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.quiet_focus import QuietFocus
from engine.scenes.pixel_box import Box, Point, corners_box

FRAMES = 20
"""Drawings of the canvas a second while something moves."""
SLOW_FRAMES = 8
"""The same on a slow link."""


class MaskCanvas(QuietFocus):
    """Shows a `MaskDocument` and edits its current concept."""

    SCOPE = "canvas"
    HELP_TEXT = (
        "The picture with one colour per concept. With Find a click or a drag around it finds a "
        "thing, the right button says what is not of it. With a brush the left button paints, the "
        "right one erases; the middle one moves the picture; the wheel changes the brush. "
        "By keyboard: arrows or h j k l move the brush, space applies the tool, p lowers the pen "
        "so that moving paints, + and - zoom down to single pixels."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "canvas"))
    DEFAULT_CSS = "MaskCanvas { background: $surface; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.document: MaskDocument | None = None
        self.current = 0
        """Key of the concept that is painted."""
        self.state = ToolState()
        self.cursor = Point(0, 0)
        self.preview: Preview | None = None
        """A thing that is looked for or waits to be taken; drawn, not kept."""
        self.instead: mask_render.Picture | None = None
        self.square: Box | None = None
        """The square that training cuts out; what lies outside is drawn dark."""
        self._view: Viewport | None = None
        self._left_zoom: Viewport | None = None
        self._drag: Literal["", "paint", "box", "pan"] = ""
        self._drag_from = (0.0, 0.0)
        self._timer: Timer | None = None
        self._painted_at = 0.0
        self._picture = CanvasPicture()
        self._hover = False

    # Document and drawing

    def load(self, document: MaskDocument, current: int = 0) -> None:
        """Show a document from its middle."""
        self.document, self.current = document, current
        height, width = document.shape
        self.cursor = Point(width / 2, height / 2)
        self._left_zoom = self.preview = self.instead = None
        self._picture = CanvasPicture()
        self._view = Viewport(
            width=width, height=height, columns=max(1, self.size.width),
            rows=max(1, self.size.height),
        )  # fmt: skip
        self._set(zoom=0, pen=False, corner=None)

    @property
    def view(self) -> Viewport | None:
        """The window on the picture; None before a document is loaded."""
        return self._view

    def changed(self, key: int | None = None) -> None:
        """Draw again after the document changed from outside; None: every mask may have."""
        self._picture.forget(key)
        self.draw()

    def draw(self, *, soon: bool = False) -> None:
        """Draw now, or with `soon` within the next frame."""
        if self._timer is not None:
            return
        frames = SLOW_FRAMES if self.terminal.low_bandwidth else FRAMES
        wait = self._painted_at + 1 / frames - time.monotonic()
        if soon and wait > 0:
            self._timer = self.set_timer(wait, self._frame)
        else:
            self._frame()

    def _frame(self) -> None:
        self._timer = None
        self._painted_at = time.monotonic()
        view = self._view
        if self.document is None or view is None or not self.is_mounted:
            self.paint(Cells.blank(self.size.height, self.size.width))
            return
        marks = Marks(
            cursor=self.cursor if self.has_focus or self._hover else None, instead=self.instead,
            painting=self._drag == "paint", preview=self.preview, square=self.square,
        )  # fmt: skip
        cells = self._picture.cells(
            self.document, self.current, view, self.state, marks, self.terminal
        )
        if not self.terminal.blocks:
            write_cursor(cells, view, self.cursor, self.state.pen, self.ink("primary"))
        self.paint(cells)

    def _set(self, **changes: object) -> None:
        """Change the tool state, tell the tool bar, draw."""
        view = self._view
        if view is not None:
            changes |= {"zoom": view.zoom, "scale": view.scale}
        self.state = ToolState(**{**vars(self.state), **changes})  # pyright: ignore[reportArgumentType]
        self.post_message(StateChanged())
        self.draw(soon=True)

    def on_resize(self) -> None:
        """Keep the place in the picture."""
        if self._view is not None:
            self._view = self._view.resized(self.size.width, self.size.height)
            self._left_zoom = None
            self._set()

    def on_blur(self, event: events.Blur) -> None:
        """Nothing stays half done when the focus goes; the brush goes with it."""
        self.lift()
        super().on_blur(event)

    # Painting

    def lift(self) -> None:
        """Lift the pen; a stroke under way becomes an undo step."""
        if self.document is not None and self.document.stroking:
            self.document.end_stroke()
            self.post_message(Edited())
        if self.state.pen:
            self._set(pen=False)

    def _to_paint(self) -> MaskDocument | None:
        if self.document is not None and not self.document.concepts:
            self.current = self.document.add_to_paint()
        return self.document

    def _begin(self, at: Point, value: bool) -> None:
        if (document := self._to_paint()) is not None:
            document.begin_stroke(self.current, at, self.state.radius, value)
            self._stroked()

    def _stroked(self) -> None:
        self._picture.forget(self.current)
        self.post_message(Edited(done=False))
        self.draw(soon=True)

    def _move_to(self, at: Point) -> None:
        self.cursor = at
        if self.document is not None and self.document.stroking:
            self.document.continue_stroke(at)
            self._stroked()
        else:
            self.post_message(StateChanged())
            self.draw(soon=True)

    def _flood(self, value: bool = True) -> None:
        if (document := self._to_paint()) is not None:
            document.flood(self.current, self.cursor, TOLERANCES[self.state.tolerance], value)
            self.changed(self.current)
            self.post_message(Edited())

    def _finish_box(self) -> None:
        corner = self.state.corner
        if corner is not None:
            self._set(corner=None)
            self.post_message(BoxDrawn(corners_box(corner, self.cursor)))

    # Keyboard

    def action_step(self, dx: int, dy: int) -> None:
        """Move the brush by dots; the window follows."""
        view = self._view
        if view is None:
            return
        scale = view.scale
        height, width = view.height, view.width
        at = Point(
            min(max(self.cursor.x + dx * scale, 0.0), width - 1e-3),
            min(max(self.cursor.y + dy * scale, 0.0), height - 1e-3),
        )
        self._view = view.showing(at)
        self._move_to(at)

    def action_use(self) -> None:
        """Dab, corner or flood at the brush."""
        match self.state.tool:
            case "brush" | "erase":
                if not self.state.pen:
                    self._begin(self.cursor, self.state.tool == "brush")
                    self.lift()
            case "find":
                self.post_message(Pointed(self.cursor, True))
            case "box":
                if self.state.corner is None:
                    self._set(corner=self.cursor)
                else:
                    self._finish_box()
            case "flood":
                self._flood()

    def action_unlike(self) -> None:
        """The place at the brush is not of the thing that is looked for."""
        self.post_message(Pointed(self.cursor, False))

    def action_take(self) -> None:
        """Take what was found; else the same as space."""
        if self.preview is None:
            self.action_use()
        else:
            self.post_message(Decided(True))

    def action_pen(self) -> None:
        """Lower or lift the pen."""
        if self.state.pen:
            self.lift()
            return
        if self.state.tool not in ("brush", "erase"):
            self._set(tool="brush", corner=None)
        self._begin(self.cursor, self.state.tool == "brush")
        self._set(pen=True)

    def action_tool(self, tool: Tool) -> None:
        """Take a tool."""
        self.lift()
        self._set(tool=tool, corner=None)

    def action_size(self, steps: int) -> None:
        """A smaller or larger brush, or flood tolerance."""
        if self.state.tool == "flood":
            self._set(tolerance=max(0, min(len(TOLERANCES) - 1, self.state.tolerance + steps)))
            return
        pen = self.state.pen
        self.lift()
        self._set(size=max(0, min(len(SIZES) - 1, self.state.size + steps)))
        if pen:
            self.action_pen()

    def action_zoom(self, steps: int) -> None:
        """Closer or farther, around the brush."""
        if self._view is not None:
            self._view = self._view.zoomed(steps, self.cursor)
            self._set()

    def action_zoom_fit(self) -> None:
        """The whole picture, or back to the zoom before."""
        view = self._view
        if view is None:
            return
        if view.zoom:
            self._left_zoom, self._view = view, view.zoomed(-view.zoom, self.cursor)
        elif self._left_zoom is not None:
            self._view = view.zoomed(self._left_zoom.zoom, self.cursor)
        else:
            self._view = view.zoomed(2, self.cursor)
        self._set()

    def action_change(self, name: str) -> None:
        """A whole-mask operation: grow, shrink, invert, fill_holes, keep_largest, clear."""
        document = self.document
        if document is None or not document.concepts or self._view is None:
            return
        self.lift()
        if name in ("grow", "shrink"):
            getattr(document, name)(self.current, max(1, round(self._view.scale)))
        else:
            getattr(document, name)(self.current)
        self.changed(self.current)
        self.post_message(Edited())

    def action_cancel(self) -> None:
        """Lift the pen, forget a corner, drop what was found."""
        self.lift()
        self._set(corner=None)
        if self.preview is not None:
            self.post_message(Decided(False))

    def next_overlay(self) -> Overlay:
        """The next way to show masks."""
        place = mask_render.OVERLAYS.index(self.state.overlay)
        self._set(overlay=mask_render.OVERLAYS[(place + 1) % len(mask_render.OVERLAYS)])
        return self.state.overlay

    # Mouse

    def _point(self, event: events.MouseEvent) -> Point | None:
        view = self._view
        return None if view is None else view.to_picture(event.x + 0.5, 2 * event.y + 1)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Left paints (or boxes, floods), right erases, middle moves the picture."""
        at = self._point(event)
        if at is None:
            return
        event.stop()
        self.focus()
        self.lift()
        self.cursor = at
        self.capture_mouse()
        self._drag_from = (event.screen_x, event.screen_y)
        if event.button == 2:
            self._drag = "pan"
        elif self.state.tool == "find" and event.button != 1:
            self.action_unlike()
        elif self.state.tool in ("find", "box") and event.button == 1:
            self._drag = "box"
            if self.state.corner is None:
                self._set(corner=at)
        elif self.state.tool == "flood":
            self._flood(event.button == 1)
        else:
            self._drag = "paint"
            self._begin(at, (self.state.tool == "brush") == (event.button == 1))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Paint, pan, or show where the brush is."""
        at = self._point(event)
        view = self._view
        if at is None or view is None:
            return
        self._hover = True
        if self._drag == "pan":
            dx = (self._drag_from[0] - event.screen_x) * view.scale
            dy = (self._drag_from[1] - event.screen_y) * 2 * view.scale
            self._drag_from = (event.screen_x, event.screen_y)
            self._view = view.panned(dx, dy)
            self.draw(soon=True)
        elif self.state.pen:
            # A lowered pen is the keyboard's: a mouse passing by must not paint.
            return
        else:
            self._move_to(at)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End of a drag."""
        event.stop()
        self.release_mouse()
        drag, self._drag = self._drag, ""
        if drag == "paint":
            self.lift()
            self.draw(soon=True)
        elif drag == "box":
            moved = abs(event.screen_x - self._drag_from[0]) + abs(
                event.screen_y - self._drag_from[1]
            )
            if moved >= 2:
                self._finish_box()
            elif self.state.tool == "find":
                self._set(corner=None)
                self.action_use()
            # Of the box tool a click without a drag leaves the first corner for a second click.

    def on_leave(self) -> None:
        """The brush goes with the pointer."""
        self._hover = False
        self.draw(soon=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Larger brush; with ctrl zoom in."""
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Smaller brush; with ctrl zoom out."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        event.stop()
        if at := self._point(event):
            self.cursor = at
        self.action_zoom(steps) if event.ctrl else self.action_size(steps)
