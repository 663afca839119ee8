"""The Compose screen: prompts over learned tokens, and the pictures they give."""

from __future__ import annotations

import dataclasses
import json
import secrets
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from bas_tui import client
from bas_tui.tui.bindings import bindings_of
from bas_tui.tui.palette import concept_color
from bas_tui.tui.screens.ask import Ask, PathSuggester
from bas_tui.tui.screens.compose_drawing import Drawing, DrawingScreen
from bas_tui.tui.screens.dialogs import Confirm
from bas_tui.tui.widgets.clickable import clickable
from bas_tui.tui.widgets.gallery import Gallery, Tile
from bas_tui.tui.widgets.header import HeaderInfo
from bas_tui.tui.widgets.prompt_input import PromptInput, TokenChips
from bas_tui.tui.widgets.prompt_settings import DrawSettings, Field, PromptSettings
from bas_tui.tui.workbench.devices import guess_device
from bas_tui.tui.workbench.generated import Picture, list_pictures, save_copy
from bas_tui.tui.workbench.prompt_tokens import read_history, write_history
from engine.errors import BasError, UserError
from engine.events import GenerationStarted
from engine.prompts import known, unknown_tokens
from engine.run_dir import Manifest, RunDir, find_run, list_runs, read_manifest
from engine.settings import build_config

HINT = "<: tokens  enter: draw  up, down: earlier prompts  escape: keys"


class ComposeScreen(DrawingScreen):
    """One prompt line, its settings, and a gallery over one or several runs."""

    SCOPE = "compose"
    HELP_TEXT = (
        "Draw the learned things anew. The prompt names them by token or by name, in any words; "
        "the numbers put tokens in. Pictures lie in the run's folder and carry their recipe."
    )
    CSS_PATH = "compose.tcss"
    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of("compose"))

    def __init__(self) -> None:
        super().__init__()
        self.run_dir: RunDir | None = None
        self.manifest: Manifest | None = None
        self.pictures: dict[str, list[Picture]] = {}
        """By run, newest first; every run that was opened here."""
        self.drawing: Drawing | None = None

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

    # Runs

    def on_screen_resume(self) -> None:
        """Without a run, take the last one."""
        if self.run_dir is None:
            self.set_timer(0.3, self._take_last_run)

    def _take_last_run(self) -> None:
        if self.run_dir is not None:
            return
        try:
            self.use_run(find_run(self.bas.prefs.last_run or None))
        except BasError:
            try:
                self.use_run(find_run(None))
            except BasError as error:
                self._hint(f"{error.message} - {error.remedy}", error=True)

    def open(self, **arguments: Any) -> None:
        """`run`: a name, a folder or a RunDir."""
        run = arguments.get("run")
        if run:
            try:
                self.use_run(run if isinstance(run, RunDir) else find_run(str(run)))
            except BasError as error:
                self.bas.show_error(error)

    def use_run(self, run: RunDir) -> None:
        """Take a run's tokens; the pictures of the others stay. Raises UserError."""
        manifest = read_manifest(run)
        self.run_dir, self.manifest = run, manifest
        for line in self.query(PromptInput):
            line.concepts = manifest.concepts
        prompt = self._prompt
        prompt.history = read_history(run)
        if not prompt.value:
            tokens = " and ".join(concept.token for concept in manifest.concepts)
            prompt.placeholder = f"a photo of {tokens} in the snow"
        chips = self.query_one(TokenChips)
        chips.concepts, chips.run = manifest.concepts, run.name
        try:
            sampling = build_config(manifest.settings).sampling
            own = DrawSettings(steps=sampling.steps, guidance=sampling.guidance)
        except UserError:
            own = DrawSettings()
        self.query_one(PromptSettings).own = own
        self.bas.remember(last_run=run.name)
        self._show_header()
        self._check_prompt()
        self._read_pictures(run)

    @work(thread=True, group="pictures", exit_on_error=False)
    def _read_pictures(self, run: RunDir) -> None:
        pictures = list_pictures(run)
        self.app.call_from_thread(self._have_pictures, run, pictures)

    def _have_pictures(self, run: RunDir, pictures: list[Picture]) -> None:
        # The run that is used now comes first.
        others = {name: found for name, found in self.pictures.items() if name != run.name}
        self.pictures = {run.name: pictures, **others}
        self._show_gallery()

    def action_pick_run(self) -> None:
        """Choose a run."""
        choices: list[tuple[str, str]] = []
        for run in list_runs()[:30]:
            try:
                manifest = read_manifest(run)
                client.check_learned(run)
            except BasError:
                continue
            names = ", ".join(concept.name for concept in manifest.concepts)
            choices.append((f"{run.name}   {names}   ({Path(manifest.base).name})", run.name))
        if not choices:
            self.say("no run has learned anything yet: train one first", "warning")
            return

        def done(name: str | None) -> None:
            if name:
                self.use_run(find_run(name.strip()))
                self._prompt.focus()

        self.app.push_screen(
            Ask(
                "Whose tokens? Pictures of the other runs stay to compare",
                hint="name of a run", check=lambda name: read_manifest(find_run(name.strip())),
                choices=choices,
            ),
            done,
        )  # fmt: skip

    # Showing

    @property
    def _prompt(self) -> PromptInput:
        return self.query_one("#prompt", PromptInput)

    @property
    def _settings(self) -> PromptSettings:
        return self.query_one(PromptSettings)

    @property
    def _gallery(self) -> Gallery:
        return self.query_one(Gallery)

    def _show_header(self) -> None:
        manifest = self.manifest
        base = Path(manifest.base).name if manifest else ""
        name = self.run_dir.name if self.run_dir else ""
        state = "drawing" if self.drawing is not None else ""
        self.header = HeaderInfo(run=name, base=base, device=guess_device().kind, state=state)

    def _show_gallery(self) -> None:
        tiles = self.drawing.tiles() if self.drawing is not None else []
        fresh = {tile.path for tile in tiles}
        for pictures in self.pictures.values():
            tiles += [Tile(picture) for picture in pictures if picture.path not in fresh]
        runs = len([name for name, pictures in self.pictures.items() if pictures])
        self._gallery.show(tiles, runs=max(1, runs))

    def _hint(self, text: str | Content, *, error: bool = False) -> None:
        hint = self.query_one("#hint", Static)
        hint.update(text if isinstance(text, Content) else Content(text))
        hint.set_class(error, "-error")

    def _check_prompt(self) -> bool:
        """Say what is unknown in the prompts; whether all is known."""
        if self.manifest is None:
            return False
        for line in self.query(PromptInput):
            if unknown := unknown_tokens(line.value, self.manifest.concepts):
                names = known(self.manifest.concepts)
                self._hint(f"no token {', '.join(unknown)} - this run knows {names}", error=True)
                return False
        self._hint(HINT)
        return True

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if not (isinstance(event.input, PromptInput) and event.input.completing):
            self._check_prompt()

    @on(PromptInput.Completing)
    def _completing(self, event: PromptInput.Completing) -> None:
        if not event.offers:
            self._check_prompt()
            return
        offers: list[Content] = []
        for place, offer in enumerate(event.offers):
            color = concept_color(offer.concept)
            style = f"bold {color.ink} on {color.hex}" if place == event.chosen else color.hex
            offers.append(Content.styled(f" {offer.token} ", style))
        line = Content.assemble(Content.styled("tab ", "bold $primary"), Content(" ").join(offers))
        self._hint(line)

    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        (self._gallery if self._gallery.tiles else self._settings).focus()

    @on(Gallery.Left)
    def _left_gallery(self) -> None:
        self._prompt.focus()

    @on(Gallery.Chosen)
    def _chosen(self) -> None:
        # One large picture or a comparison gets the room of the prompt as well.
        self.set_class(self._gallery.mode != "all", "-pictures")
        self._show_progress()

    def _show_progress(self) -> None:
        line = self.query_one("#progress", Static)
        drawing, gallery = self.drawing, self._gallery
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
                f"{recipe.prompt}  ",
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

    # Drawing

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
        prompt, settings = self._prompt, self._settings.settings
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
        self._settings.busy = True
        self._gallery.selected = 0
        self._show_drawing()
        self.draw(request)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Cancel is offered only while there is something to cancel."""
        if action == "cancel":
            return self.drawing is not None
        return super().check_action(action, parameters)

    def _show_drawing(self) -> None:
        self.refresh_bindings()
        self._show_header()
        self._show_gallery()
        self._show_progress()

    @on(DrawingScreen.Drawn)
    def _drawn(self, event: DrawingScreen.Drawn) -> None:
        drawing = self.drawing
        if drawing is None or drawing.request.request != event.request:
            return
        self.drawing = drawing = drawing.after(event.event)
        if isinstance(event.event, GenerationStarted):
            settings = self._settings
            settings.settings = dataclasses.replace(settings.settings, seed=event.event.seed)
        if drawing.ended is not None:
            self._ended(drawing)
        else:
            tiles = drawing.tiles()
            known_tiles = self._gallery.tiles
            if [tile.path for tile in tiles] != [tile.path for tile in known_tiles[: len(tiles)]]:
                self._show_gallery()
            self._show_progress()

    @on(DrawingScreen.CouldNotDraw)
    def _could_not_draw(self, event: DrawingScreen.CouldNotDraw) -> None:
        self.drawing = None
        self._settings.busy = False
        self._show_drawing()
        self.bas.show_error(event.error)

    def _ended(self, drawing: Drawing) -> None:
        name = drawing.request.run.name
        fresh = [drawing.saved[index] for index in sorted(drawing.saved)]
        self.pictures[name] = [*fresh, *self.pictures.get(name, [])]
        self.drawing = None
        self._settings.busy = False
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
        self._show_progress()
        self.cancel_drawing(self.drawing.request)

    # Prompt and settings

    def action_focus_on(self, part: str) -> None:
        """To a part of the screen."""
        if self._gallery.mode != "all":
            self._gallery.action_back()
            self.set_class(False, "-pictures")
        self.query_one(f"#{part}").focus()

    def action_token(self, index: int) -> None:
        """A token into the prompt."""
        if self.manifest is None or index >= len(self.manifest.concepts):
            self.say(f"there is no token {index + 1}", "warning")
            return
        focused = self.focused
        line = focused if isinstance(focused, PromptInput) else self._prompt
        line.insert_token(self.manifest.concepts[index].token)

    def action_setting(self, field: Field, direction: int) -> None:
        """A click on a setting."""
        if direction == 0:
            self._edit_setting(field)
        else:
            self._settings.step(field, direction)

    @on(PromptSettings.Edit)
    def _setting_edited(self, event: PromptSettings.Edit) -> None:
        self._edit_setting(event.field)

    def _edit_setting(self, field: Field) -> None:
        settings = self._settings
        value = getattr(settings.settings, field)

        def done(text: str | None) -> None:
            if text is not None:
                settings.settings = settings.settings.typed(field, text)

        empty = {"seed": "a new one each time", "count": ""}.get(field, "the run's own")
        self.app.push_screen(
            Ask(
                field.capitalize(), "" if value is None else f"{value:g}" if field == "guidance"
                else str(value), hint=empty,
                check=lambda text: settings.settings.typed(field, text),
            ),
            done,
        )  # fmt: skip

    def action_lock_seed(self) -> None:
        """Lock or free the seed."""
        settings = self._settings
        now = settings.settings
        if now.seed is None:
            self.action_new_seed()
            return
        settings.settings = dataclasses.replace(now, locked=not now.locked)
        self.say(f"seed {now.seed} is locked" if not now.locked else "a new seed each time")

    def action_new_seed(self) -> None:
        """A random seed, locked."""
        settings = self._settings
        seed = secrets.randbelow(2**31)
        settings.settings = dataclasses.replace(settings.settings, seed=seed, locked=True)
        self.say(f"seed {seed} is locked")

    # Pictures

    def _with_picture(self, act: Callable[[Picture], object]) -> None:
        picture = self._gallery.current
        if picture is None:
            self.say("no picture is chosen", "warning")
        else:
            act(picture)

    def action_reuse(self) -> None:
        """Take over a picture's settings."""
        self._with_picture(self._reuse)

    def _reuse(self, picture: Picture) -> None:
        recipe = picture.recipe
        if recipe.run and (self.run_dir is None or recipe.run != self.run_dir.name):
            try:
                self.use_run(find_run(recipe.run))
            except BasError as error:
                self.bas.show_error(error)
        prompt = self._prompt
        prompt.value = recipe.prompt
        prompt.cursor_position = len(recipe.prompt)
        self.query_one("#negative", PromptInput).value = recipe.negative
        self._settings.settings = DrawSettings(
            seed=recipe.seed, locked=recipe.seed is not None, count=1, steps=recipe.steps,
            guidance=recipe.guidance,
        )  # fmt: skip
        self.say("took over prompt, seed, steps and guidance; enter draws it again")
        self.action_focus_on("prompt")

    def action_save_as(self) -> None:
        """Copy a picture to a file."""
        self._with_picture(self._save_as)

    def _save_as(self, picture: Picture) -> None:
        def done(text: str | None) -> None:
            if text:
                self.say(f"saved {text.strip()}")

        self.app.push_screen(
            Ask(
                "Save the picture as", str(Path.cwd() / picture.path.name),
                check=lambda text: save_copy(picture, Path(text.strip())),
                suggester=PathSuggester((".png",)),
            ),
            done,
        )  # fmt: skip

    def action_delete_picture(self) -> None:
        """Delete a picture's file."""
        self._with_picture(self._delete)

    def _delete(self, picture: Picture) -> None:
        def done(sure: bool | None) -> None:
            if not sure:
                return
            try:
                picture.path.unlink(missing_ok=True)
            except OSError as error:
                self.say(f"cannot delete it: {error.strerror}", "error")
                return
            for name, pictures in self.pictures.items():
                self.pictures[name] = [old for old in pictures if old.path != picture.path]
            self._show_gallery()
            self._show_progress()
            self.say(f"deleted {picture.path.name}")

        detail = f"{picture.path.name}\n{picture.recipe.prompt}, seed {picture.recipe.seed}"
        self.app.push_screen(Confirm("Delete this picture?", detail, yes="Delete", no="Keep"), done)

    def action_copy_prompt(self) -> None:
        """Copy a picture's prompt."""
        self._with_picture(lambda picture: self.bas.copy(picture.recipe.prompt, "the prompt"))

    def action_copy(self) -> None:
        """Copy the command of the picture, or of the prompt."""
        picture = self._gallery.current if self._gallery.has_focus else None
        if picture is not None:
            self.bas.copy(picture.recipe.command())
        elif values := self.command_values():
            self.bas.copy(f"bas gen {values['prompt']} --run {values['run']}{values['options']}")

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        if self.run_dir is None:
            return {}
        settings = self._settings.settings
        text = self._prompt.value.strip() or self._prompt.placeholder
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
        if picture := self._gallery.current:
            values["picture_command"] = picture.recipe.command()
        return values

    # Preferences

    def on_mount(self) -> None:
        """The settings of last time."""
        self.query_one("#progress").auto_links = False
        try:
            record = json.loads(self.bas.prefs.compose or "{}")
            count = int(record.get("count", 4))
        except (ValueError, AttributeError, TypeError):
            count = 4
        self._settings.settings = DrawSettings(count=max(1, min(64, count)))

    def on_screen_suspend(self) -> None:
        """Remember the count."""
        self.bas.remember(compose=json.dumps({"count": self._settings.settings.count}))

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self._gallery.draw()

    def reset_view(self) -> None:
        """All pictures at the default size."""
        gallery = self._gallery
        gallery.mode, gallery.marked = "all", []
        gallery.action_size(0)
        self._settings.settings = DrawSettings()
