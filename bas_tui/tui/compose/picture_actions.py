"""What can be done with a picture's file: save a copy, delete it, copy its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bas_tui.tui.shell.ask import Ask, PathSuggester
from bas_tui.tui.shell.dialogs import Confirm
from bas_tui.tui.shell.picture_files import Picture, save_copy
from bas_tui.tui.shell.screen import BasScreen


class PictureActions:
    """Asks on a screen what an action needs to know, acts, and says what came of it."""

    def __init__(self, screen: BasScreen, removed: Callable[[Picture], object]) -> None:
        self._screen = screen
        self._removed = removed
        """Told of every picture whose file is gone."""

    def save_as(self, picture: Picture) -> None:
        """Copy it to a file."""
        saved: list[Path] = []

        def save(text: str) -> None:
            saved.append(save_copy(picture, Path(text.strip())))

        def done(text: str | None) -> None:
            if text:
                self._screen.say(f"saved {saved[-1]}")

        self._screen.app.push_screen(
            Ask(
                "Save the picture as", str(Path.cwd() / picture.path.name),
                check=save,
                suggester=PathSuggester((".png",)),
            ),
            done,
        )  # fmt: skip

    def delete(self, picture: Picture) -> None:
        """Delete its file."""

        def done(sure: bool | None) -> None:
            if not sure:
                return
            try:
                picture.path.unlink(missing_ok=True)
            except OSError as error:
                self._screen.say(f"cannot delete it: {error.strerror}", "error")
                return
            self._removed(picture)
            self._screen.say(f"deleted {picture.path.name}")

        detail = f"{picture.path.name}\n{picture.recipe.prompt}, seed {picture.recipe.seed}"
        question = Confirm("Delete this picture?", detail, yes="Delete", no="Keep")
        self._screen.app.push_screen(question, done)

    def copy_prompt(self, picture: Picture) -> None:
        """Copy its prompt."""
        self._screen.bas.copy(picture.recipe.prompt, "the prompt")
