"""The Compose screen: prompts over learned tokens, and the pictures they give."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from bas_tui import client
from bas_tui.tui.compose.compose_drawing import Drawing, DrawingScreen
from bas_tui.tui.compose.compose_pictures import PictureActions
from bas_tui.tui.compose.compose_runs import RunActions
from bas_tui.tui.compose.compose_settings import SettingActions
from bas_tui.tui.compose.gallery import Gallery, Tile
from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.compose.prompt_editing import write_history
from bas_tui.tui.compose.prompt_input import PromptInput, TokenChips
from bas_tui.tui.compose.prompt_settings import DrawSettings, PromptSettings
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.clickable import clickable
from engine.core.errors import BasError
from engine.runs.events import GenerationStarted
from engine.runs.prompts import known, unknown_tokens

HINT = "<: tokens  enter: draw  up, down: earlier prompts  escape: keys"


class ComposeScreen(RunActions, PictureActions, SettingActions):
    """One prompt line, its settings, and a gallery over one or several runs."""

    SCOPE = "compose"
    HELP_TEXT = (
        "Draw the learned things anew. The prompt names them by token or by name, in any words; "
        "the numbers put tokens in. Pictures lie in the run's folder and carry their recipe."
    )
    CSS_PATH = "compose.tcss"
    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "compose"))

    def compose_body(self) -> Iterable[Widget]:
        """Chips, prompts, settings, progress, gallery."""
        with Vertical(id="lines"):
            with Horizontal(classes="line"):
                yield Label("tokens", classes="label")
                yield TokenChips()
            with Horizontal(classes="line"):
                yield Label("prompt", classes="label")
                yield PromptInput(id="prompt", placeholder="a photo of <asset0> in the snow")
            yield Static(HINT, id="hint")
            with Horizontal(classes="line", id="negative-line"):
                yield Label("negative", classes="label")
                yield PromptInput(id="negative", placeholder="nothing in particular")
            yield PromptSettings(id="settings")
        yield Static(id="progress")
        yield Gallery(id="gallery")

    def show_gallery(self) -> None:
        tiles = self.drawing.tiles() if self.drawing is not None else []
        fresh = {tile.path for tile in tiles}
        for pictures in self.pictures.values():
            tiles += [Tile(picture) for picture in pictures if picture.path not in fresh]
        runs = len([name for name, pictures in self.pictures.items() if pictures])
        self.gallery.show(tiles, runs=max(1, runs))

    def check_prompt(self) -> bool:
        """Say what is unknown in the prompts; whether all is known."""
        if self.manifest is None:
            return False
        for line in self.query(PromptInput):
            if unknown := unknown_tokens(line.value, self.manifest.concepts):
                names = known(self.manifest.concepts)
                self.hint(f"no token {', '.join(unknown)} - this run knows {names}", error=True)
                return False
        self.hint(HINT)
        return True

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if not (isinstance(event.input, PromptInput) and event.input.completing):
            self.check_prompt()

    @on(PromptInput.Completing)
    def _completing(self, event: PromptInput.Completing) -> None:
        if not event.offers:
            self.check_prompt()
            return
        offers: list[Content] = []
        for place, offer in enumerate(event.offers):
            color = concept_color(offer.concept)
            style = f"bold {color.ink} on {color.hex}" if place == event.chosen else color.hex
            offers.append(Content.styled(f" {offer.token} ", style))
        line = Content.assemble(Content.styled("tab ", "bold $primary"), Content(" ").join(offers))
        self.hint(line)

    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self.set_focus(self.gallery if self.gallery.tiles else self.settings)

    @on(Gallery.Left)
    def _left_gallery(self) -> None:
        self.set_focus(self.prompt)

    @on(Gallery.Chosen)
    def _chosen(self) -> None:
        # One large picture or a comparison gets the room of the prompt as well.
        self.set_class(self.gallery.mode != "all", "-pictures")
        self.show_progress()

    def show_progress(self) -> None:
        line = self.query_one("#progress", Static)
        drawing, gallery = self.drawing, self.gallery
        if drawing is not None:
            line.update(self._drawing_line(drawing, line.size.width))
            return
        picture = gallery.current
        if picture is None:
            line.update("")
            return
        recipe = picture.recipe
        marks = f"{len(gallery.marked)} marked   " if gallery.marked else ""
        own = recipe.details()
        line.update(
            Content.assemble(
                Content.styled(f"{gallery.selected + 1} of {len(gallery.tiles)}  ", "bold"),
                Content.styled(marks, "bold $accent"),
                f"{recipe.read_prompt()}  ",
                Content.styled(own, "$faint"),
            ).truncate(max(10, line.size.width - 2), ellipsis=True)
        )

    @staticmethod
    def _drawing_line(drawing: Drawing, width: int) -> Content:
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
            clickable(Content.styled("  x cancels", "$primary"), "screen.cancel()"),
        )

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_generate()

    def action_generate(self) -> None:
        """Draw the prompt."""
        run = self.run_dir
        if run is None:
            self.say("no run is chosen: press r", "warning")
            return
        if self.drawing is not None:
            self.say("a drawing is under way: x cancels it", "warning")
            return
        prompt, settings = self.prompt, self.settings.settings
        text = prompt.value.strip() or prompt.placeholder
        negative = self.query_one("#negative", PromptInput).value.strip()
        try:
            client.check_prompt(run, text)
            if negative:
                client.check_prompt(run, negative)
            client.check_learned(run)
        except BasError as error:
            self.bas.show_error(error)
            return
        prompt.value = text
        prompt.cursor_position = len(text)
        prompt.history.add(text)
        write_history(run, prompt.history)
        request = client.GenerationRequest(
            run=run, prompt=text, out=run.pictures, negative=negative,
            seed=settings.used_seed, count=settings.count, steps=settings.steps,
            guidance=settings.guidance, step_previews=not self.bas.terminal.low_bandwidth,
        )  # fmt: skip
        self.drawing = Drawing(request=request)
        self.settings.busy = True
        self._show_drawing()
        # The gallery stays at the picture that was chosen; the new ones are what one waits for.
        self.gallery.action_move_to(0)
        self.draw(request)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Cancel is offered only while there is something to cancel."""
        if action == "cancel":
            return self.drawing is not None
        return super().check_action(action, parameters)

    def _show_drawing(self) -> None:
        self.refresh_bindings()
        self.show_header()
        self.show_gallery()
        self.show_progress()

    @on(DrawingScreen.Drawn)
    def _drawn(self, event: DrawingScreen.Drawn) -> None:
        drawing = self.drawing
        if drawing is None or drawing.request.request != event.request:
            return
        self.drawing = drawing = drawing.after(event.event)
        if isinstance(event.event, GenerationStarted):
            settings = self.settings
            settings.settings = dataclasses.replace(settings.settings, seed=event.event.seed)
        if drawing.ended is not None:
            self._ended(drawing)
        else:
            tiles = drawing.tiles()
            known_tiles = self.gallery.tiles
            if [tile.path for tile in tiles] != [tile.path for tile in known_tiles[: len(tiles)]]:
                self.show_gallery()
            self.show_progress()

    @on(DrawingScreen.CouldNotDraw)
    def _could_not_draw(self, event: DrawingScreen.CouldNotDraw) -> None:
        self.drawing = None
        self.settings.busy = False
        self._show_drawing()
        self.bas.show_error(event.error)

    def _ended(self, drawing: Drawing) -> None:
        name = drawing.request.run.name
        fresh = [drawing.saved[index] for index in sorted(drawing.saved)]
        self.pictures[name] = [*fresh, *self.pictures.get(name, [])]
        self.drawing = None
        self.settings.busy = False
        self._show_drawing()
        ended = drawing.ended
        assert ended is not None
        if ended.outcome == "failed":
            self.bas.show_error(BasError(ended.message, ended.remedy))
        elif ended.outcome == "cancelled":
            self.say(f"cancelled; {len(fresh)} finished pictures stay")
        else:
            plural = "picture" if len(fresh) == 1 else "pictures"
            self.say(f"{len(fresh)} {plural} in {drawing.request.out}")

    def action_cancel(self) -> None:
        """Stop drawing."""
        if self.drawing is None:
            self.say("nothing is being drawn")
            return
        self.drawing = dataclasses.replace(self.drawing, cancelling=True)
        self.show_progress()
        self.cancel_drawing(self.drawing.request)

    def action_focus_on(self, part: str) -> None:
        """To a part of the screen."""
        if self.gallery.mode != "all":
            self.gallery.action_back()
            self.set_class(False, "-pictures")
        # Not `focus()`, which waits for the next turn: the next key may be here already.
        self.set_focus(self.query_one(f"#{part}"))

    def action_token(self, index: int) -> None:
        """A token into the prompt."""
        if self.manifest is None or index >= len(self.manifest.concepts):
            self.say(f"there is no token {index + 1}", "warning")
            return
        focused = self.focused
        line = focused if isinstance(focused, PromptInput) else self.prompt
        line.insert_token(self.manifest.concepts[index].token)

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        if self.run_dir is None:
            return {}
        settings = self.settings.settings
        text = self.prompt.value.strip() or self.prompt.placeholder
        negative = self.query_one("#negative", PromptInput).value.strip()
        options = f" --count {settings.count}"
        for flag, value in (
            ("seed", settings.used_seed), ("steps", settings.steps),
            ("guidance", settings.guidance),
        ):  # fmt: skip
            options += f" --{flag} {value:g}" if isinstance(value, float) else (
                f" --{flag} {value}" if value is not None else ""
            )  # fmt: skip
        options += f" --negative {shlex.quote(negative)}" if negative else ""
        values = {
            "run": shlex.quote(self.run_dir.name),
            "prompt": shlex.quote(text),
            "options": options,
        }
        if picture := self.gallery.current:
            values["picture_command"] = picture.recipe.command()
        return values

    def on_mount(self) -> None:
        """The settings of last time."""
        self.query_one("#progress").auto_links = False
        try:
            record = json.loads(self.bas.prefs.compose or "{}")
            count = int(record.get("count", 4))
        except (ValueError, AttributeError, TypeError):
            count = 4
        self.settings.settings = DrawSettings(count=max(1, min(64, count)))

    def on_screen_suspend(self) -> None:
        """Remember the count."""
        self.bas.remember(compose=json.dumps({"count": self.settings.settings.count}))

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self.gallery.draw()

    def reset_view(self) -> None:
        """All pictures at the default size."""
        gallery = self.gallery
        gallery.mode, gallery.marked = "all", []
        gallery.action_size(0)
        self.settings.settings = DrawSettings()
