"""The tool bar under the canvas: tools, brush size, pen, zoom - each of them clickable."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive

from bas_tui.tui.scene.mask_canvas_picture import TOLERANCES, TOOLS, ToolState
from bas_tui.tui.shell.clickable import ClickableWords, clickable
from engine.scenes.pixel_box import Point

NAMES = {"find": ("d", "Find"), "brush": ("b", "Brush"), "erase": ("e", "Erase"),
         "box": ("x", "Box"), "flood": ("f", "Flood")}  # fmt: skip
OPERATIONS = (
    ("g", "Grow", "grow"),
    ("G", "Shrink", "shrink"),
    ("i", "Invert", "invert"),
    ("o", "Fill", "fill_holes"),
    ("m", "Largest", "keep_largest"),
    ("c", "Clear", "clear"),
)


class MaskTools(ClickableWords):
    """Shows a `ToolState`; the second line, where there is room, has the whole-mask operations."""

    DEFAULT_CSS = "MaskTools { height: 1; background: $panel; }"

    state: reactive[ToolState] = reactive(ToolState())
    cursor: reactive[Point] = reactive(Point(0, 0))
    busy: reactive[str] = reactive("")
    found: reactive[str] = reactive("")
    """Which candidate is shown; it waits to be taken or dropped."""

    def render(self) -> Content:
        """One or two lines."""
        first = self._found() if self.found else self._tools()
        if self.size.height < 2:
            return first
        return Content("\n").join([first, self._operations()])

    def _found(self) -> Content:
        keys = (("enter", "take", "take"), ("A", "next", "another"), ("esc", "drop", "drop"))
        parts = [
            clickable(
                Content.assemble(Content.styled(f" {key}", "bold $primary"), f" {name}"),
                f"screen.thing('{action}')",
            )
            for key, name, action in keys
        ]
        first = Content.styled(f" {self.found} ", "bold $background on $accent")
        return Content("").join([first, *parts]).truncate(self.size.width, ellipsis=True)

    def _tools(self) -> Content:
        state, width = self.state, self.size.width
        wide = width >= 66
        parts: list[Content] = []
        for tool in TOOLS:
            key, name = NAMES[tool]
            if tool == state.tool:
                words = Content.styled(f" {name} ", "bold $background on $primary")
            else:
                words = Content.assemble(Content.styled(f" {key}", "bold $primary"), f" {name} ")
                words = words if wide else Content(f" {name} ")
            parts.append(clickable(words, f"screen.canvas('tool', '{tool}')"))
        line = Content("").join(parts)
        return Content("  ").join([line, *self._readings(state, wide)]).truncate(width)

    def _readings(self, state: ToolState, wide: bool) -> list[Content]:
        if self.busy:
            return [Content.styled(self.busy, "bold $accent")]
        if state.tool == "box":
            corner = "1st" if state.corner is None else "2nd"
            size = Content(f"{corner} corner?" if wide else corner)
        elif state.tool == "find":
            size = Content("click or drag" if wide else "click it")
        elif state.tool == "flood":
            size = _between("[", f" ±{TOLERANCES[state.tolerance]} ", "]", "size")
        else:
            size = _between("[", f" {max(1, round(2 * state.radius))} px ", "]", "size")
        readings = [size]
        if state.pen:
            readings.append(Content.styled(" PEN DOWN ", "bold $background on $accent"))
        if state.zoom or wide:
            scale = state.scale
            zoom = f" 1:{scale:.3g} " if scale >= 1 else f" {1 / scale:.3g}:1 "
            readings.append(_between("-", zoom, "+", "zoom"))
        if state.overlay != "tint":
            readings.append(Content.styled(f"view: {state.overlay}", "$accent"))
        if wide:
            place = f"x {int(self.cursor.x)} y {int(self.cursor.y)}"
            readings.append(Content.styled(place, "$faint"))
        return readings

    def _operations(self) -> Content:
        parts = [
            clickable(
                Content.assemble(Content.styled(f" {key}", "bold $primary"), f" {name} "),
                f"screen.canvas('change', '{action}')",
            )
            for key, name, action in OPERATIONS
        ]
        return Content("").join(parts).truncate(self.size.width)


def _between(less: str, value: str, more: str, action: str) -> Content:
    return Content.assemble(
        clickable(Content.styled(less, "bold $primary"), f"screen.canvas('{action}', -1)"),
        value,
        clickable(Content.styled(more, "bold $primary"), f"screen.canvas('{action}', 1)"),
    )
