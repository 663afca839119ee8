"""Seed, count, steps, guidance, strength on one line; each can be clicked, stepped or typed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.shell.ask import Ask
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.clickable import ClickableWords, clickable
from engine.core.errors import UserError

Field = Literal["seed", "count", "steps", "guidance", "strength"]
FIELDS: tuple[Field, ...] = ("seed", "count", "steps", "guidance", "strength")
COUNTS = (1, 2, 3, 4, 6, 8, 9, 12, 16)
STEPS = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100)
GUIDANCES = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0, 10.0, 12.0, 15.0)
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """What goes into a request beside the prompts; None: the run's own (a new seed)."""

    seed: int | None = None
    locked: bool = False
    """Whether `seed` is used again; else it only says what the last one was."""
    count: int = 4
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    """How much of the run's weight change is added; None where the run has none."""

    @property
    def used_seed(self) -> int | None:
        """The seed of the next request."""
        return self.seed if self.locked else None

    def typed(self, field: Field, text: str) -> DrawSettings:
        """A typed value; empty: the run's own. Raises UserError."""
        text = text.strip()
        if not text:
            if field == "count":
                raise UserError("the count is empty", "give 1 to 64")
            return replace(self, **{field: None}, **({"locked": False} if field == "seed" else {}))
        try:
            value = float(text) if field in ("guidance", "strength") else int(text)
        except ValueError as error:
            raise UserError(f"{field} cannot be {text!r}", "give a number") from error
        top = {"seed": 2**63 - 1, "count": 64, "steps": 1000, "guidance": 100, "strength": 2}[field]
        low = 1 if field in ("count", "steps") else 0
        if not low <= value <= top:
            raise UserError(f"{field} cannot be {text}", f"give {low} to {top}")
        return replace(self, **{field: value}, **({"locked": True} if field == "seed" else {}))

    def stepped(self, field: Field, direction: int, own: DrawSettings) -> DrawSettings:
        """The next choice up or down; the run's `own` value is where None starts."""
        if field == "seed":
            return replace(self, seed=max(0, (self.seed or 0) + direction), locked=True)
        choices = {
            "count": COUNTS, "steps": STEPS, "guidance": GUIDANCES, "strength": STRENGTHS,
        }[field]  # fmt: skip
        now = getattr(self, field) if getattr(self, field) is not None else getattr(own, field)
        now = choices[0] if now is None else now
        side = [choice for choice in choices if (choice - now) * direction > 0]
        value = (min(side) if direction > 0 else max(side)) if side else now
        return replace(self, **{field: value})


class PromptSettings(ClickableWords, can_focus=True):
    """The line of settings with a button to draw at its end."""

    SCOPE = "settings"
    HELP_TEXT = (
        "How to draw. Left and right choose a setting, up and down change it, enter types it, "
        "backspace takes the run's own. The seed is new each time unless it is locked (L); with "
        "several pictures, the next ones use the next seeds. The strength says how much of the "
        "learned weight change is added: less keeps the base model's own way of drawing."
    )
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "settings"))
    DEFAULT_CSS = "PromptSettings { height: 1; }"

    settings: reactive[DrawSettings] = reactive(DrawSettings())
    own: reactive[DrawSettings] = reactive(DrawSettings())
    """The run's own values."""
    place: reactive[int] = reactive(0)
    busy: reactive[bool] = reactive(False)

    def __init__(self, *, id: str | None = None, draw_key: str = "g") -> None:
        """`draw_key`: what the button says."""
        super().__init__(id=id)
        self._draw_key = draw_key

    class Note(Message):
        """Something to be said about a change."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    @property
    def fields(self) -> tuple[Field, ...]:
        """The settings that the run has: a strength only where it changed weights."""
        return FIELDS if self.own.strength is not None else FIELDS[:-1]

    def render(self) -> Content:
        """All settings, the chosen one marked while it has the focus."""
        if self.busy:
            button = Content.styled(" Cancel (^x) ", "bold $background on $warning")
            button = clickable(button, "app.cancel()")
        else:
            button = Content.styled(f" Draw ({self._draw_key}) ", "bold $background on $success")
            button = clickable(button, "screen.generate()")
        room = self.size.width - button.cell_length - 1
        line = self._line(arrows=True)
        if line.cell_length > room:
            line = self._line(arrows=False)
        if line.cell_length > room:
            line = self._line(arrows=False, hint=False)
        gap = max(1, self.size.width - line.cell_length - button.cell_length)
        return Content.assemble(line, " " * gap, button)

    def _line(self, *, arrows: bool, hint: bool = True) -> Content:
        """The settings; without `arrows` only the chosen one keeps them, to save room.

        `hint`: how a seed is kept.
        """
        parts: list[Content] = []
        for index, field in enumerate(self.fields):
            here = self.has_focus and index == self.place
            value, own = self._value(field)
            words = Content.assemble(
                Content.styled(f"{field} ", "bold $primary" if here else "$faint"),
                _arrow("◂", field, -1) if arrows or here else "",
                clickable(
                    Content.styled(f" {value} ", "bold reverse" if here else "" if own else "bold"),
                    f"setting('{field}', 0)",
                ),
                _arrow("▸", field, 1) if arrows or here else "",
            )
            parts.append(words)
            if field == "seed":
                parts.append(clickable(self._lock() if hint else "", "lock_seed()"))
        return Content("  ").join([Content.assemble(parts[0], " ", parts[1]), *parts[2:]])

    def _lock(self) -> Content:
        if self.settings.locked:
            return Content.styled("locked", "bold $accent")
        if self.settings.seed is not None and self.size.width >= 100:
            return Content.styled(f"last {self.settings.seed}", "$faint")
        return Content.styled("L locks" if self.settings.seed is not None else "", "$faint")

    def _value(self, field: Field) -> tuple[str, bool]:
        """The shown value, and whether it is the run's own."""
        value = getattr(self.settings, field)
        if field == "seed":
            return (str(value) if self.settings.locked else "random"), not self.settings.locked
        if value is not None:
            return f"{value:g}", False
        own = getattr(self.own, field)
        return ("run's" if own is None else f"{own:g}"), True

    def watch_own(self) -> None:
        """Another run may have fewer settings."""
        self.place = min(self.place, len(self.fields) - 1)

    def step(self, field: Field, direction: int) -> None:
        """Change a setting."""
        self.settings = self.settings.stepped(field, direction, self.own)

    def action_field(self, steps: int) -> None:
        """Another setting."""
        self.place = (self.place + steps) % len(self.fields)

    def action_change(self, direction: int) -> None:
        """A higher or lower value."""
        self.step(self.fields[self.place], direction)

    def action_edit(self) -> None:
        """Type the value."""
        self._type(self.fields[self.place])

    def action_setting(self, field: Field, direction: int) -> None:
        """A click: on an arrow it changes the value, on the value (0) it types it."""
        if direction == 0:
            self._type(field)
        else:
            self.step(field, direction)

    def _type(self, field: Field) -> None:
        value = getattr(self.settings, field)

        def done(text: str | None) -> None:
            if text is not None:
                self.settings = self.settings.typed(field, text)

        shown = f"{value:g}" if isinstance(value, float) else str(value)
        empty = {"seed": "a new one each time", "count": ""}.get(field, "the run's own")
        self.app.push_screen(
            Ask(
                field.capitalize(), "" if value is None else shown, hint=empty,
                check=lambda text: self.settings.typed(field, text),
            ),
            done,
        )  # fmt: skip

    def action_lock_seed(self) -> None:
        """Lock or free the last seed; without one, a new one is locked."""
        now = self.settings
        if now.seed is None:
            self.action_new_seed()
            return
        self.settings = replace(now, locked=not now.locked)
        text = f"seed {now.seed} is locked" if not now.locked else "a new seed each time"
        self.post_message(self.Note(text))

    def action_new_seed(self) -> None:
        """A random seed, locked."""
        seed = secrets.randbelow(2**31)
        self.settings = replace(self.settings, seed=seed, locked=True)
        self.post_message(self.Note(f"seed {seed} is locked"))

    def action_reset(self) -> None:
        """The run's own value."""
        field = self.fields[self.place]
        self.settings = self.settings.typed(field, "4" if field == "count" else "")

    def on_focus(self, _: events.Focus) -> None:
        """Show the place."""
        self.refresh()

    def on_blur(self, _: events.Blur) -> None:
        """Hide it."""
        self.refresh()


def _arrow(sign: str, field: Field, direction: int) -> Content:
    return clickable(Content.styled(sign, "$primary"), f"setting('{field}', {direction})")
