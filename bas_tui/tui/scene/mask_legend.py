"""The concepts of a document: colour, name, coverage, what the attention grid sees of it, word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.scene.keys import KEYS
from bas_tui.tui.scene.undo_history import Concept
from bas_tui.tui.shell.bindings import bindings_of
from engine.scenes.background import NAME as BACKGROUND


@dataclass(frozen=True, kw_only=True)
class LegendState:
    """What the legend shows."""

    concepts: tuple[Concept, ...] = ()
    current: int = -1
    coverage: Mapping[int, float] = field(default_factory=dict)
    """By concept key: share of the picture, 0..1."""
    cells: Mapping[int, int] = field(default_factory=dict)
    """By concept key: cells of the attention grid that see the mask."""


class MaskLegend(Widget, can_focus=True):
    """One line per concept, the current one marked; a click chooses, a double click renames."""

    SCOPE = "legend"
    HELP_TEXT = (
        "The concepts in the order of their tokens: <asset0>, <asset1>, ... `area` is the mask's "
        "share of the picture, `grid` how many cells of the attention grid see it (few: it is too "
        "small to be learned well), `word` the word its token starts from."
    )
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "legend"))
    DEFAULT_CSS = "MaskLegend { height: auto; }"

    state: reactive[LegendState] = reactive(LegendState(), layout=True)

    class Chosen(Message):
        """A concept was clicked."""

        def __init__(self, key: int, rename: bool) -> None:
            super().__init__()
            self.key = key
            self.rename = rename

    def render(self) -> Content:
        """A heading and the concepts."""
        state = self.state
        width = self.size.width
        if not state.concepts:
            return Content.from_markup(
                "[$faint]none yet: click on a thing, or\npress [/][bold $primary]n[/]"
                "[$faint] to name the first thing[/]"
            )
        name_width = max(10, min(24, width - 26))
        lines = [Content.styled(f"   {'name':<{name_width}}   area grid  word", "$faint")]
        for index, concept in enumerate(state.concepts):
            lines.append(self._line(index, concept, name_width))
        if not self.screen.has_class("-short"):  # There the plan needs the line; B does the same.
            lines.append(self._check_box())
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)

    def _line(self, index: int, concept: Concept, name_width: int) -> Content:
        state, color = self.state, concept_color(index)
        current = concept.key == state.current
        coverage = cells = ""
        cell_style = ""
        if concept.key in state.cells:
            seen = state.cells[concept.key]
            coverage, cells = f"{state.coverage[concept.key]:.1%}", str(seen)
            cell_style = "bold $error" if seen == 0 else "bold $warning" if seen < 3 else ""
        name = concept.name
        if len(name) > name_width:
            name = name[: name_width - 1] + "…"
        return Content.assemble(
            Content.styled(f"{index + 1}", f"bold {color.ink} on {color.hex}"),
            Content.styled("▸ " if current else "  ", "bold $primary"),
            Content.styled(f"{name:<{name_width}} ", "bold" if current else ""),
            f"{coverage:>6} ",
            Content.styled(f"{cells:>4}", cell_style),
            Content.styled(
                f"  {concept.initializer or '-'}", "" if concept.initializer else "$faint"
            ),
        )

    def _background(self) -> int | None:
        """Which concept is the background; None: there is none."""
        names = [concept.name for concept in self.state.concepts]
        return names.index(BACKGROUND) if BACKGROUND in names else None

    def _check_box(self) -> Content:
        mark = "[ ]" if self._background() is None else "[x]"
        return Content.assemble(
            Content.styled(f"{mark} background", "" if mark == "[x]" else "$faint"),
            Content.styled(" B", "bold $primary"),
            Content.styled(": all the rest", "$faint"),
        )

    async def on_click(self, event: events.Click) -> None:
        """Choose the clicked line; on the last one have a background as a concept, or have none."""
        row = event.get_content_offset_capture(self).y - 1
        if 0 <= row < len(self.state.concepts):
            self.post_message(self.Chosen(self.state.concepts[row].key, event.chain == 2))
        elif row == len(self.state.concepts) > 0:
            place = self._background()
            if place is None:
                await self.app.run_action("screen.background", self)
            else:
                await self.app.run_action(f"screen.pick({place})", self)
                await self.app.run_action("screen.delete", self)
