"""A canvas on which the things of a run's scene are put where pictures shall show them.

It shows the collage that the generation process begins with, made by the same function from a
smaller copy of the scene. Shape legend: N things, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np
from textual import events
from textual.binding import BindingType
from textual.message import Message

from bas_tui import client
from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.compose.layout import Layout, LayoutHistory, Spot, as_in_scene, shuffled, tenth
from bas_tui.tui.drawing import mask_render
from bas_tui.tui.drawing.cells import Cells
from bas_tui.tui.drawing.halfblock import picture_cells
from bas_tui.tui.drawing.quantise import to_xterm
from bas_tui.tui.drawing.viewport import Viewport
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.quiet_focus import QuietFocus
from engine.core.errors import BasError, UserError
from engine.runs.folder import RunDir
from engine.runs.manifest import Manifest
from engine.runs.requests import LOOSE, LOOSEST
from engine.scenes.cutouts import Masks, Pixels, Placing, collage, standing
from engine.scenes.pixel_box import Point
from engine.scenes.scene import open_saved_scene, resize_scene

SIDE = 256
"""Pixels of the copy that is shown: more than any terminal has."""
LOOSES = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, LOOSEST)
GROWTH = 1.1
"""A step of the size."""


class _Things(NamedTuple):
    run: str
    image: Pixels
    masks_NHW: Masks
    names: tuple[str, ...]


class PlaceCanvas(QuietFocus):
    """Things on an otherwise empty scene; the last one that was moved stands in front."""

    SCOPE = "places"
    HELP_TEXT = (
        "Where the things shall stand: pictures begin with them here, and the prompt draws the "
        "ground. Drag a thing with the mouse, or pick one with tab and move it with the arrows; + "
        "and - change its size, D leaves it out, s swaps left and right, S is an order of chance, "
        "o puts all back, u takes a step back. < and > say how freely things are redrawn: the "
        "less, the more surely a thing stays."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "places"))

    class Left(Message):
        """Escape was pressed."""

    class Loaded(Message):
        """A run's scene was read."""

        def __init__(self, things: _Things) -> None:
            super().__init__()
            self.things = things

    class Unreadable(Message):
        """There is nothing to place of a run's scene, and somebody waits for it."""

        def __init__(self, run: str, error: BasError) -> None:
            super().__init__()
            self.run, self.error = run, error

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.active = False
        """Whether pictures begin with the layout."""
        self.picked = 0
        self.problem: BasError | None = None
        """Why there is nothing to place of the run's scene."""
        self._things: _Things | None = None
        self._wanted = ""
        self._layouts: dict[str, LayoutHistory] = {}
        """By run."""
        self._taken: tuple[str, float | None] | None = None
        """A picture's layout that waits for the scene."""
        self._grip: Point | None = None
        """From the pointer to the middle of the thing that is dragged, percent."""
        self._drags = 0
        """How often a thing was taken; each time is a step of undo."""

    def use(self, run: RunDir, manifest: Manifest) -> None:
        """Read the things of a run's scene; its layout of before comes back."""
        self._wanted, self._things, self.problem = run.name, None, None
        entries = manifest.concepts

        def work() -> None:
            try:
                scene = open_saved_scene(run.scene)
                scene = resize_scene(scene, min(SIDE, scene.side))
            except BasError as error:
                self.post_message(self.Unreadable(run.name, error))
                return
            pairs = zip(entries, scene.concepts, strict=False)
            kept = [(e.name, c.mask) for e, c in pairs if not e.is_background and c.mask.any()]
            if not kept:
                nothing = UserError(f"{run.name} has learned no things to place", "leave P out")
                self.post_message(self.Unreadable(run.name, nothing))
                return
            masks = np.stack([mask for _, mask in kept])
            told = tuple(name for name, _ in kept)
            self.post_message(self.Loaded(_Things(run.name, scene.image, masks, told)))

        self.run_worker(work, thread=True, group="places", exit_on_error=False)

    def on_place_canvas_loaded(self, message: Loaded) -> None:
        """Show them."""
        if message.things.run != self._wanted:
            return
        self._things = message.things
        self.picked = 0
        self._layouts.setdefault(self._wanted, LayoutHistory(Layout(self._scene_layout())))
        if self._taken is not None:
            taken, self._taken = self._taken, None
            self.take_over(*taken)
        self.draw()

    def on_place_canvas_unreadable(self, message: Unreadable) -> None:
        """Place nothing; it is said where somebody waits for it."""
        if message.run == self._wanted:
            self.problem = message.error
        if message.run != self._wanted or not self.active:
            message.stop()
        else:
            self.active = False

    @property
    def _history(self) -> LayoutHistory:
        """Of the run in use; of nothing while its scene is read."""
        found = self._layouts.get(self._wanted) if self._things is not None else None
        return found or LayoutHistory(Layout({}))

    @property
    def layout_now(self) -> Mapping[int, Spot]:
        """What stands where; empty while the scene is read."""
        return self._history.now.spots

    @property
    def loose(self) -> float:
        """How freely the collage is redrawn."""
        return self._history.now.loose

    @property
    def chosen(self) -> tuple[client.ThingPlace, ...]:
        """What a request takes; empty: noise alone."""
        things = self._things
        if not self.active or things is None:
            return ()
        return tuple(
            client.ThingPlace(
                token=f"<{things.names[index]}>", x=spot.x / 100, y=spot.y / 100,
                width=spot.width / 100,
            )
            for index, spot in self.layout_now.items()
            if not spot.out
        )  # fmt: skip

    def wanted(self) -> tuple[client.ThingPlace, ...]:
        """The same for a drawing; raises UserError while the scene is read."""
        if self.active and self._things is None:
            raise UserError("the scene's things are still being read", "draw again in a moment")
        return self.chosen

    def options(self) -> str:
        """The same as options of `bas gen`."""
        words = "".join(f" --place {place.text}" for place in self.chosen)
        return f"{words} --loose {self.loose:g}" if words else ""

    def take_over(self, places: str, noise: float | None) -> None:
        """The layout of a picture's recipe; without one, noise alone."""
        things, self.active = self._things, bool(places)
        if not places:
            return
        if things is None:
            self._taken = (places, noise)
            return
        layout = {index: replace(spot, out=True) for index, spot in self._scene_layout().items()}
        for text in places.split():
            try:
                place = client.ThingPlace.parse(text)
            except UserError:
                continue
            name = place.token[1:-1]
            if name in things.names:
                index = things.names.index(name)
                layout.pop(index)
                layout[index] = Spot(x=tenth(place.x), y=tenth(place.y), width=tenth(place.width))
        if all(spot.out for spot in layout.values()):
            layout = self._scene_layout()  # Of another run's things.
        # Pictures of before may have been placed at 1.
        self._history.put(Layout(layout, min(noise or LOOSE, LOOSEST)))
        self.draw()

    def _scene_layout(self) -> dict[int, Spot]:
        assert self._things is not None
        return as_in_scene(self._things.masks_NHW)

    # Drawing

    def on_resize(self) -> None:
        """As large as the room."""
        self.draw()

    def _view(self) -> Viewport | None:
        if self._things is None or self.size.height < 3 or self.size.width < 3:
            return None
        side = self._things.image.shape[0]
        return Viewport(width=side, height=side, columns=self.size.width, rows=self.size.height - 1)

    def draw(self) -> None:
        """The collage, a frame around the picked thing, and a line of words."""
        rows, columns = self.size.height, self.size.width
        view, things = self._view(), self._things
        cells = Cells.blank(rows, columns)
        if view is not None and things is not None:
            layout = self.layout_now
            placings = [
                Placing(index, spot.x / 100, spot.y / 100, spot.width / 100)
                for index, spot in layout.items()
                if not spot.out
            ]
            picture = collage(things.image, things.masks_NHW, placings).image
            pixels = mask_render.sample_picture(picture, view).copy()
            spot = layout[self.picked]
            if self.has_focus and not spot.out:
                top, left, bottom, right = self._box(self.picked, spot)
                mask_render.draw_frame(pixels, view, Point(left, top), Point(right - 1, bottom - 1))
            if self.terminal.quantise:
                pixels = to_xterm(pixels)
            cells.paste(view.offset[1], view.offset[0], picture_cells(pixels, self.terminal))
            cells.write(rows - 1, 0, self._words(things, layout), self.ink("foreground"))
        elif rows:
            cells.write(rows // 2, 1, "reading the scene ...", self.ink("faint"))
        self.paint(cells)

    def _words(self, things: _Things, layout: Mapping[int, Spot]) -> str:
        spot = layout[self.picked]
        where = "left out" if spot.out else f"{spot.x:g},{spot.y:g}"
        if not spot.out and spot.width:
            where += f" {spot.width:g} wide"
        return f"{things.names[self.picked]} {where} loose {self.loose:g}"

    def _box(self, index: int, spot: Spot) -> tuple[int, int, int, int]:
        assert self._things is not None
        return standing(self._things.masks_NHW[index], spot.x / 100, spot.y / 100, spot.width / 100)

    # Changing

    def _put(self, spot: Spot, kind: object = None) -> None:
        """The picked thing stands there, in front; changes of one kind are one step of undo."""
        side = self.layout_side
        # Where it really stands: what is moved against the edge turns back at once.
        top, left, bottom, right = self._box(self.picked, spot)
        low_x, low_y = 50 * (right - left) / side, 50 * (bottom - top) / side
        x = min(max(spot.x, low_x), 100 - low_x)
        y = min(max(spot.y, low_y), 100 - low_y)
        rest = {index: one for index, one in self.layout_now.items() if index != self.picked}
        spot = replace(spot, x=round(x, 1), y=round(y, 1))
        self._history.put(Layout({**rest, self.picked: spot}, self.loose), kind)
        self.draw()

    def action_pick(self, steps: int) -> None:
        """Another thing."""
        if self._things is not None:
            self.picked = (self.picked + steps) % len(self._things.names)
            self.draw()

    def action_move(self, dx: int, dy: int) -> None:
        """Move the picked thing by percents."""
        if self.layout_now:
            spot = self.layout_now[self.picked]
            moved = replace(spot, x=spot.x + dx, y=spot.y + dy, out=False)
            self._put(moved, ("move", self.picked))

    def action_size(self, steps: int) -> None:
        """A larger or smaller one."""
        if self.layout_now:
            spot = self.layout_now[self.picked]
            top, left, bottom, right = self._box(self.picked, spot)
            side = self.layout_side
            width = 100 * (right - left) / side * GROWTH**steps
            most = 100 * (right - left) / max(bottom - top, right - left)
            sized = replace(spot, width=round(min(max(width, 5.0), most), 1), out=False)
            self._put(sized, ("size", self.picked))

    @property
    def layout_side(self) -> int:
        """Pixels along a side of the copy that is shown."""
        return self._things.image.shape[0] if self._things is not None else 1

    def action_leave_out(self) -> None:
        """Leave the picked thing out, or put it back."""
        if self.layout_now:
            spot = self.layout_now[self.picked]
            others = [one for index, one in self.layout_now.items() if index != self.picked]
            if not spot.out and all(one.out for one in others):
                return  # With nothing on it, it would be no layout: P turns it off.
            self._put(replace(spot, out=not spot.out))

    def action_swap(self) -> None:
        """What stands left stands right."""
        spots = self.layout_now.items()
        swapped = {index: replace(spot, x=round(100 - spot.x, 1)) for index, spot in spots}
        self._history.put(Layout(swapped, self.loose))
        self.draw()

    def action_shuffle(self) -> None:
        """Places of chance."""
        if self._things is not None:
            spots = shuffled(self.layout_now, self._things.masks_NHW, np.random.default_rng())
            self._history.put(Layout(spots, self.loose))
            self.draw()

    def action_as_in_scene(self) -> None:
        """All things at their own places."""
        if self._things is not None:
            self._history.put(Layout(self._scene_layout(), self.loose))
            self.draw()

    def action_loosen(self, steps: int) -> None:
        """Redraw the collage more or less freely."""
        near = min(range(len(LOOSES)), key=lambda index: abs(LOOSES[index] - self.loose))
        loose = LOOSES[min(max(near + steps, 0), len(LOOSES) - 1)]
        self._history.put(Layout(self.layout_now, loose), "loose")
        self.draw()

    def action_undo(self) -> None:
        """One step back."""
        self._history.undo()
        self.draw()

    def action_redo(self) -> None:
        """One step forth."""
        self._history.redo()
        self.draw()

    def action_leave(self) -> None:
        """To the pictures."""
        self.post_message(self.Left())

    # Mouse

    def _percent(self, event: events.MouseEvent) -> Point | None:
        view = self._view()
        if view is None:
            return None
        at = view.to_picture(event.x + 0.5, 2 * event.y + 1)
        return Point(100 * at.x / view.width, 100 * at.y / view.height)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Pick the front thing under the pointer."""
        at = self._percent(event)
        if at is None:
            return
        event.stop()
        self.focus()
        side = self.layout_side
        x, y = at.x * side / 100, at.y * side / 100
        for index, spot in reversed(list(self.layout_now.items())):
            top, left, bottom, right = self._box(index, spot)
            if not spot.out and left <= x < right and top <= y < bottom:
                self._drags += 1
                self.picked, self._grip = index, Point(spot.x - at.x, spot.y - at.y)
                self.capture_mouse()
                break
        self.draw()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag it."""
        at = self._percent(event)
        if at is not None and self._grip is not None:
            grip, spot = self._grip, self.layout_now[self.picked]
            self._put(replace(spot, x=at.x + grip.x, y=at.y + grip.y), ("drag", self._drags))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Let go."""
        event.stop()
        self._grip = None
        self.release_mouse()
