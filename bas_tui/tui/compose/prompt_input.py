"""The prompt line: tokens in their concepts' colours, completion on `<`, history on up and down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.highlighter import Highlighter
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input

from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.compose.prompt_editing import (
    Completion,
    History,
    Typed,
    complete,
    completions,
    insert,
)
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.clickable import ClickableWords, clickable
from engine.core.prompt_grammar import Join
from engine.runs.manifest import ConceptEntry
from engine.runs.prompts import TOKEN


class TokenHighlighter(Highlighter):
    """Known tokens in their concept's colour, unknown ones as errors."""

    def __init__(self) -> None:
        self.concepts: Sequence[ConceptEntry] = ()

    def highlight(self, text: Text) -> None:
        """Colour every whole token."""
        places: dict[str, int] = {}
        for place, concept in enumerate(self.concepts):
            places[concept.token] = places[f"<{concept.name}>"] = place
        for match in TOKEN.finditer(text.plain):
            token = match.group(0)
            place = places.get(token, places.get(token.lower()))
            if place is None:
                style = Style(color="bright_red", underline=True)
            else:
                color = concept_color(place)
                style = Style(color=color.ink, bgcolor=color.hex, bold=True)
            text.stylize(style, *match.span())


class PromptInput(Input):
    """A line of prompt. Enter draws; escape leaves the line."""

    SCOPE = "prompt"
    HELP_TEXT = (
        "The prompt. < lists the learned tokens: tab or enter takes the first, up and down choose, "
        "<2 is the second one. Up and down go through this run's earlier prompts, enter draws, "
        "escape leaves the line for the single-letter keys. A prompt that begins with a token is "
        "read with the training's words before it (a photo of)."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "prompt"))

    class Completing(Message):
        """The offered completions changed; empty: none."""

        def __init__(self, offers: tuple[Completion, ...], chosen: int) -> None:
            super().__init__()
            self.offers = offers
            self.chosen = chosen

    class Left(Message):
        """Escape was pressed."""

    def __init__(self, *, id: str, placeholder: str) -> None:
        self._tokens = TokenHighlighter()
        super().__init__(
            id=id, placeholder=placeholder, compact=True, highlighter=self._tokens,
            select_on_focus=False,
        )  # fmt: skip
        self.history = History([])
        self.join: Join = "and"
        """How the run's prompts name several things."""
        self._offers: tuple[Completion, ...] = ()
        self._chosen = 0

    @property
    def concepts(self) -> Sequence[ConceptEntry]:
        """What tokens can be used."""
        return self._tokens.concepts

    @concepts.setter
    def concepts(self, concepts: Sequence[ConceptEntry]) -> None:
        self._tokens.concepts = concepts
        self.refresh()
        self._offer()

    @property
    def typed(self) -> Typed:
        """Text and cursor."""
        return Typed(self.value, self.cursor_position)

    @property
    def completing(self) -> bool:
        """Whether completions are offered."""
        return bool(self._offers)

    def put(self, typed: Typed) -> None:
        """Another text and cursor."""
        self.value = typed.text
        self.cursor_position = typed.cursor

    def insert_token(self, token: str) -> None:
        """A token at the cursor."""
        self.put(insert(self.typed, token, self.join))

    def watch_value(self) -> None:
        """Offer completions for what is typed."""
        self._offer()

    def watch_selection(self) -> None:
        """Offer completions where the cursor is."""
        self._offer()

    def _offer(self) -> None:
        offers = tuple(completions(self.typed, self.concepts)) if self.is_mounted else ()
        if offers != self._offers:
            self._offers, self._chosen = offers, 0
            self.post_message(self.Completing(offers, 0))

    def _choose(self, steps: int) -> None:
        self._chosen = (self._chosen + steps) % len(self._offers)
        self.post_message(self.Completing(self._offers, self._chosen))

    def _take(self) -> None:
        self.put(complete(self.typed, self._offers[self._chosen].token))

    def action_earlier(self) -> None:
        """The earlier prompt, or the previous completion."""
        if self._offers:
            self._choose(-1)
        else:
            self._recall(self.history.earlier(self.value))

    def action_later(self) -> None:
        """The later prompt, or the next completion."""
        if self._offers:
            self._choose(1)
        else:
            self._recall(self.history.later(self.value))

    def _recall(self, prompt: str) -> None:
        self.put(Typed(prompt, len(prompt)))

    def action_take(self) -> None:
        """Take the completion; without one, go on to the next part of the screen."""
        if self._offers:
            self._take()
        else:
            self.screen.focus_next()

    def action_leave(self) -> None:
        """To the single-letter keys."""
        self.post_message(self.Left())

    async def action_submit(self) -> None:
        """Enter takes a completion first; without one it draws."""
        if self._offers:
            self._take()
        else:
            await super().action_submit()

    def on_blur(self) -> None:
        """No offers without the focus."""
        if self._offers:
            self._offers = ()
            self.post_message(self.Completing((), 0))


GAP = "   "
"""Between two chips."""


class TokenChips(ClickableWords):
    """The learned tokens with their numbers and names; a click puts one into the prompt."""

    DEFAULT_CSS = "TokenChips { height: auto; max-height: 2; }"

    concepts: reactive[tuple[ConceptEntry, ...]] = reactive((), layout=True)

    def render(self) -> Content:
        """All chips that fit."""
        if not self.concepts:
            return Content.styled("no run is chosen: press r", "$faint")
        lines: list[list[Content]] = [[]]
        room = self.size.width
        for index, concept in enumerate(self.concepts):
            color = concept_color(index)
            own = f"<{concept.name}>" == concept.token
            words = Content.assemble(
                Content.styled(f"{index + 1} ", "bold $primary"),
                Content.styled(f" {concept.token} ", f"bold {color.ink} on {color.hex}"),
                "" if own else Content.styled(f" {concept.name}", "$foreground"),
            )
            chip = clickable(words, f"screen.token({index})")
            room -= chip.cell_length + len(GAP)
            if room < -len(GAP) and lines[-1]:
                lines.append([])
                room = self.size.width - chip.cell_length - len(GAP)
            lines[-1].append(chip)
        return Content("\n").join(Content(GAP).join(line) for line in lines)

    def on_resize(self) -> None:
        """Break the lines between chips anew."""
        self.refresh(layout=True)
