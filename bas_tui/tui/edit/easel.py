"""The photo and the tools under it; the things that are found on it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from bas_tui.tui.scene.canvas_messages import BoxDrawn, Decided, Pointed, StateChanged
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.scene.thing_search import ThingSearch


class Easel(Vertical):
    """Canvas over tool bar; what the tools find becomes a region."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="work")
        self.things = ThingSearch(desk)

    def compose(self) -> ComposeResult:
        """The photo, the tools."""
        yield MaskCanvas(id="canvas")
        yield MaskTools()

    def on_unmount(self) -> None:
        """End the process that finds."""
        self.things.close()

    @on(StateChanged)
    def _tool_changed(self) -> None:
        tools, canvas = self.query_one(MaskTools), self.query_one(MaskCanvas)
        tools.state, tools.cursor = canvas.state, canvas.cursor

    @on(BoxDrawn)
    def _box_drawn(self, event: BoxDrawn) -> None:
        self.things.box(event.box)

    @on(Pointed)
    def _pointed(self, event: Pointed) -> None:
        self.things.point(event.at, event.adds)

    @on(Decided)
    def _decided(self, event: Decided) -> None:
        self.things.take() if event.taken else self.things.drop()
