"""The line above the pictures: how the drawing goes, else what the chosen picture is."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from bas_tui.tui.compose.drawing_state import Drawing
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.shell.clickable import clickable


class ProgressLine(Static):
    """One line of text."""

    def __init__(self) -> None:
        super().__init__(id="progress")
        self.auto_links = False

    def show(self, drawing: Drawing | None, gallery: Gallery) -> None:
        """Tell of a drawing under way, else of the gallery's chosen picture."""
        width = self.size.width
        if drawing is not None:
            self.update(_of_drawing(drawing, width))
        else:
            self.update(_of_picture(gallery, width))


def _of_picture(gallery: Gallery, width: int) -> Content:
    picture = gallery.current
    if picture is None:
        return Content("")
    recipe = picture.recipe
    marks = f"{len(gallery.marked)} marked   " if gallery.marked else ""
    return Content.assemble(
        Content.styled(f"{gallery.selected + 1} of {len(gallery.tiles)}  ", "bold"),
        Content.styled(marks, "bold $accent"),
        f"{recipe.read_prompt()}  ",
        Content.styled(recipe.details(), "$faint"),
    ).truncate(max(10, width - 2), ellipsis=True)


def _of_drawing(drawing: Drawing, width: int) -> Content:
    if drawing.cancelling:
        return Content.styled("cancelling ...", "bold $warning")
    if drawing.stage:
        return Content.assemble(Content.styled("drawing: ", "bold $accent"), drawing.stage)
    number = min(drawing.request.count, len(drawing.saved) + 1)
    steps = sum(drawing.done.values())
    total = drawing.steps * drawing.request.count
    words = f" {drawing.fraction:4.0%}  step {steps} of {total}, {len(drawing.saved)} saved"
    room = max(8, min(48, width - len(words) - 14))
    full = round(room * drawing.fraction)
    return Content.assemble(
        Content.styled(f"drawing {number}/{drawing.request.count} ", "bold $accent"),
        Content.styled("━" * full, "$accent"),
        Content.styled("─" * (room - full), "$faint"),
        words,
        clickable(Content.styled("  ^x cancels", "$primary"), "app.cancel()"),
    )
