"""Compose screen: what can be done with a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bas_tui.tui.compose.compose_base import ComposeBase
from bas_tui.tui.compose.picture_files import Picture, save_copy
from bas_tui.tui.compose.prompt_input import PromptInput
from bas_tui.tui.compose.prompt_settings import DrawSettings
from bas_tui.tui.shell.ask import Ask, PathSuggester
from bas_tui.tui.shell.dialogs import Confirm
from engine.core.errors import BasError
from engine.runs.library import find_run


class PictureActions(ComposeBase):
    """Reuse, save, delete, copy."""

    def _with_picture(self, act: Callable[[Picture], object]) -> None:
        picture = self.gallery.current
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
        prompt = self.prompt
        prompt.value = recipe.prompt
        prompt.cursor_position = len(recipe.prompt)
        self.query_one("#negative", PromptInput).value = recipe.negative
        self.settings.settings = DrawSettings(
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
            self.show_gallery()
            self.show_progress()
            self.say(f"deleted {picture.path.name}")

        detail = f"{picture.path.name}\n{picture.recipe.prompt}, seed {picture.recipe.seed}"
        self.app.push_screen(Confirm("Delete this picture?", detail, yes="Delete", no="Keep"), done)

    def action_copy_prompt(self) -> None:
        """Copy a picture's prompt."""
        self._with_picture(lambda picture: self.bas.copy(picture.recipe.prompt, "the prompt"))

    def action_copy(self) -> None:
        """Copy the command of the picture, or of the prompt."""
        picture = self.gallery.current if self.gallery.has_focus else None
        if picture is not None:
            self.bas.copy(picture.recipe.command())
        elif values := self.command_values():
            self.bas.copy(f"bas gen {values['prompt']} --run {values['run']}{values['options']}")
