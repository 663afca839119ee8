"""The pictures, and beside them, where it is wanted, the canvas on which things are placed."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.place_canvas import PlaceCanvas
from bas_tui.tui.compose.place_switch import PlaceSwitch
from bas_tui.tui.shell.picture_files import Recipe
from bas_tui.tui.shell.screen import BasScreen


class Wall(Horizontal):
    """Shows the canvas while things are placed."""

    def __init__(self, owner: BasScreen) -> None:
        super().__init__(id="body")
        self._owner = owner

    def compose(self) -> ComposeResult:
        """Canvas, pictures."""
        yield PlaceCanvas(id="places")
        yield Gallery(id="gallery")

    @property
    def places(self) -> PlaceCanvas:
        """Where things are to stand."""
        return self.query_one(PlaceCanvas)

    def toggle(self) -> None:
        """Begin with things at their places, or with noise alone."""
        places = self.places
        if places.problem is not None and not places.active:
            self._owner.bas.show_error(places.problem)
            return
        places.active = not places.active
        self._show()
        if places.active:
            self._owner.set_focus(places)
        else:
            self._owner.say("pictures begin with noise alone; P brings the layout back")
            self._to_pictures()

    def take_over(self, recipe: Recipe) -> None:
        """A picture's layout."""
        self.places.take_over(recipe.places, recipe.noise)
        self._show()

    def _show(self) -> None:
        self._owner.set_class(self.places.active, "-placing")
        self._owner.query_one(PlaceSwitch).active = self.places.active

    @on(PlaceCanvas.Left)
    def _to_pictures(self) -> None:
        self._owner.set_focus(self.query_one(Gallery))

    @on(PlaceCanvas.Unreadable)
    def _no_scene(self, event: PlaceCanvas.Unreadable) -> None:
        self._show()
        self._owner.bas.show_error(event.error)
