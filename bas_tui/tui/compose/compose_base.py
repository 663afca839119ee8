"""What the parts of the Compose screen share."""

from __future__ import annotations

from bas_tui.tui.compose.compose_drawing import Drawing, DrawingScreen
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.picture_files import Picture
from bas_tui.tui.compose.prompt_input import PromptInput
from bas_tui.tui.compose.prompt_settings import PromptSettings
from engine.runs.folder import RunDir
from engine.runs.manifest import Manifest


class ComposeBase(DrawingScreen):
    """The run in use, its pictures, the drawing under way."""

    def __init__(self) -> None:
        super().__init__()
        self.run_dir: RunDir | None = None
        self.manifest: Manifest | None = None
        self.pictures: dict[str, list[Picture]] = {}
        """By run, newest first; every run that was opened here."""
        self.drawing: Drawing | None = None

    @property
    def prompt(self) -> PromptInput:
        return self.query_one("#prompt", PromptInput)

    @property
    def settings(self) -> PromptSettings:
        return self.query_one(PromptSettings)

    @property
    def gallery(self) -> Gallery:
        return self.query_one(Gallery)

    def use_run(self, run: RunDir) -> None:
        """Take a run's tokens. Raises UserError."""
        raise NotImplementedError

    def show_gallery(self) -> None:
        """Finished pictures and those under way."""
        raise NotImplementedError

    def show_progress(self) -> None:
        """The line above the pictures."""
        raise NotImplementedError

    def action_focus_on(self, part: str) -> None:
        """To a part of the screen."""
        raise NotImplementedError

    def check_prompt(self) -> bool:
        """Say what is unknown in the prompts; whether all is known."""
        raise NotImplementedError
