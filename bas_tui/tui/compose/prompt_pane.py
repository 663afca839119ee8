"""What is asked for: the tokens, the prompt and what to keep away from, and how to draw it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label, Static

from bas_tui import client
from bas_tui.tui.compose.added_line import AddedLine, ask_for_more
from bas_tui.tui.compose.place_switch import PlaceSwitch
from bas_tui.tui.compose.prompt_editing import read_history, write_history
from bas_tui.tui.compose.prompt_input import PromptInput, TokenChips
from bas_tui.tui.compose.prompt_settings import DrawSettings, PromptSettings
from bas_tui.tui.drawing.palette import concept_color
from bas_tui.tui.shell.picture_files import Picture
from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.models.additions import vocabulary
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, Manifest
from engine.runs.prompts import all_together, known, unknown_tokens
from engine.runs.requests import LOOSE, NOTHING, Additions

HINT = "<: tokens  enter: draw  up, down: earlier prompts  escape: letters are keys again"


def in_the_snow(manifest: Manifest) -> str:
    """A first prompt."""
    return f"a photo of {all_together(manifest.concepts, manifest.grammar)} in the snow"


class PromptPane(Vertical):
    """Two prompt lines and the settings, over one run's tokens."""

    def __init__(
        self,
        suggest: Callable[[Manifest], str] = in_the_snow,
        *,
        draw_key: str = "g",
        add_key: str = "A",
        placing: bool = False,
    ) -> None:
        """`suggest`: what an empty prompt line says; `draw_key`, `add_key`: the screen's keys that
        draw and that add a file; `placing`: things can be placed."""
        super().__init__(id="lines")
        self._suggest, self._placing = suggest, placing
        self._draw_key, self._add_key = draw_key, add_key
        self._run: RunDir | None = None
        self._manifest: Manifest | None = None
        self.additions = NOTHING
        """Other files and runs that are drawn with."""
        self._concepts: Sequence[ConceptEntry] = ()

    def compose(self) -> ComposeResult:
        """Chips, prompt, hint, negative prompt, settings."""
        with Horizontal(classes="line"):
            yield Label("tokens", classes="label")
            yield TokenChips()
            yield PlaceSwitch() if self._placing else AddedLine(self._add_key)
        with Horizontal(classes="line"):
            yield Label("prompt", classes="label")
            yield PromptInput(id="prompt", placeholder="")
        yield Static(HINT, id="hint")
        with Horizontal(classes="line", id="negative-line"):
            yield Label("negative", classes="label")
            yield PromptInput(id="negative", placeholder="nothing in particular")
            if self._placing:
                yield AddedLine(self._add_key)
        yield PromptSettings(id="settings", draw_key=self._draw_key)

    @property
    def prompt(self) -> PromptInput:
        """The line of the prompt."""
        return self.query_one("#prompt", PromptInput)

    @property
    def negative(self) -> PromptInput:
        """The line of what to keep away from."""
        return self.query_one("#negative", PromptInput)

    @property
    def settings(self) -> PromptSettings:
        """Seed, count, steps, guidance."""
        return self.query_one(PromptSettings)

    @property
    def text(self) -> str:
        """The prompt; the suggested one while the line is empty."""
        return self.prompt.value.strip() or self.prompt.placeholder

    def use(self, run: RunDir, manifest: Manifest) -> None:
        """Take a run's tokens, its earlier prompts and its own settings."""
        if self._run is not None and self._run.path != run.path:
            self.additions = NOTHING
        self._run, self._manifest = run, manifest
        self.draw_with(self.additions)
        prompt = self.prompt
        prompt.history = read_history(run)
        if not prompt.value:
            prompt.placeholder = self._suggest(manifest)
        self.settings.own = _own_settings(manifest)
        self.check()

    def draw_with(self, additions: Additions) -> None:
        """Draw with other files and runs, too; their words may stand in prompts."""
        manifest = self._manifest
        if manifest is None:
            return
        everyone, words = vocabulary(manifest.concepts, additions)
        named = (ConceptEntry(token=f"<{word}>", name=word, initializer="") for word in words)
        self.additions, self._concepts = additions, (*everyone, *named)
        for line in self.query(PromptInput):
            line.concepts, line.join = self._concepts, manifest.grammar.join
        self.query_one(TokenChips).concepts = tuple(self._concepts)
        for shown in self.query(AddedLine):
            shown.additions = additions
        self.check()

    def add(self) -> None:
        """Ask for one more file or run to draw with, or one to be left out."""
        if self._run is not None:
            self.app.push_screen(ask_for_more(self._run, self.additions, self.draw_with))

    def take_over(self, picture: Picture, text: str | None = None) -> str:
        """Ask for the same picture again, or for another prompt drawn in the same way; returns a
        few words on what it was drawn with besides."""
        recipe, prompt = picture.recipe, self.prompt
        prompt.value = recipe.prompt if text is None else text
        prompt.cursor_position = len(prompt.value)
        self.negative.value = recipe.negative
        self.settings.settings = DrawSettings(
            seed=recipe.seed, locked=recipe.seed is not None, count=1, steps=recipe.steps,
            guidance=recipe.guidance, strength=recipe.strength,
        )  # fmt: skip
        if self._run is None:
            return ""
        found, missing = client.recall_additions(self._run, recipe.additions, picture.path.parent)
        self.draw_with(found)
        if missing:
            return f", without {', '.join(missing)}: {self._add_key} adds it"
        return " and added files" if found else ""

    def request(
        self,
        *,
        step_previews: bool,
        edit: client.PhotoEdit | None = None,
        places: Sequence[client.ThingPlace] = (),
        loose: float = LOOSE,
    ) -> client.GenerationRequest:
        """What is asked for; the prompt joins the run's earlier ones.

        `edit`: what to draw into a photo, in place of a new picture of the prompt. `places`: where
        things stand in a collage that the pictures begin with, `loose` how freely it is redrawn.
        Raises UserError for an unknown token and for a run that has learned nothing yet.
        """
        run, text, negative = self._run, self.text, self.negative.value.strip()
        assert run is not None
        prompt, settings = self.prompt, self.settings.settings
        request = client.GenerationRequest(
            run=run, prompt=edit.prompts if edit is not None else text, edit=edit,
            out=run.pictures, negative=negative,
            seed=settings.used_seed, count=settings.count, steps=settings.steps,
            guidance=settings.guidance, strength=self._strength(), step_previews=step_previews,
            additions=self.additions, places=tuple(places), noise=loose if places else 1.0,
        )  # fmt: skip
        client.check_request(request)
        prompt.value = text
        prompt.cursor_position = len(text)
        prompt.history.add(text)
        write_history(run, prompt.history)
        return request

    def command_values(self) -> dict[str, str]:
        """Prompt and options as words of a `bas gen` command."""
        settings = self.settings.settings
        negative = self.negative.value.strip()
        options = f" --count {settings.count}"
        for flag, value in (
            ("seed", settings.used_seed), ("steps", settings.steps),
            ("guidance", settings.guidance),
            ("strength", strength if (strength := self._strength()) != 1 else None),
        ):  # fmt: skip
            options += f" --{flag} {value:g}" if isinstance(value, float) else (
                f" --{flag} {value}" if value is not None else ""
            )  # fmt: skip
        options += f" --negative {shlex.quote(negative)}" if negative else ""
        options += "".join(
            f" {flag} {shlex.quote(w)}" for flag, w in client.addition_options(self.additions)
        )
        return {"prompt": shlex.quote(self.text), "options": options}

    def _strength(self) -> float:
        chosen = self.settings.settings.strength
        changes = self.settings.own.strength is not None
        return chosen if changes and chosen is not None else 1.0

    def insert_token(self, index: int) -> bool:
        """Put a token into the line that is being written; whether there is such a token."""
        if index >= len(self._concepts):
            return False
        focused = self.screen.focused
        line = focused if isinstance(focused, PromptInput) else self.prompt
        line.insert_token(self._concepts[index].token)
        return True

    def check(self) -> None:
        """Say what is unknown in the prompts."""
        if not self._concepts:
            return
        for line in self.query(PromptInput):
            if unknown := unknown_tokens(line.value, self._concepts):
                names = known(self._concepts)
                self.hint(f"no token {', '.join(unknown)} - this run knows {names}", error=True)
                return
        self.hint(HINT)

    def hint(self, text: str | Content, *, error: bool = False) -> None:
        """Say something below the prompt."""
        hint = self.query_one("#hint", Static)
        hint.update(text if isinstance(text, Content) else Content(text))
        hint.set_class(error, "-error")

    def on_descendant_focus(self) -> None:
        """A short screen has room for all lines only while one of them is written."""
        self.set_class(True, "-writing")

    def on_descendant_blur(self) -> None:
        """And for other things then."""
        self.set_class(False, "-writing")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if not (isinstance(event.input, PromptInput) and event.input.completing):
            self.check()

    @on(PromptInput.Completing)
    def _completing(self, event: PromptInput.Completing) -> None:
        if not event.offers:
            self.check()
            return
        offers: list[Content] = []
        for place, offer in enumerate(event.offers):
            color = concept_color(offer.concept)
            style = f"bold {color.ink} on {color.hex}" if place == event.chosen else color.hex
            offers.append(Content.styled(f" {offer.token} ", style))
        line = Content.assemble(Content.styled("tab ", "bold $primary"), Content(" ").join(offers))
        self.hint(line)


def _own_settings(manifest: Manifest) -> DrawSettings:
    try:
        config = build_config(manifest.settings)
    except UserError:
        return DrawSettings()
    return DrawSettings(
        steps=config.sampling.steps,
        guidance=config.sampling.guidance,
        strength=1.0 if config.phase2.steps else None,
    )
