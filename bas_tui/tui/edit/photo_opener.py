"""Opens the photo that is edited: one that is named, or one from a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bas_tui.tui.edit.region_drafts import RegionDrafts
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.photo_file import open_bare_photo, packaged_scenes
from bas_tui.tui.scene.remembered import remember_scene, remembered
from bas_tui.tui.shell.ask import Ask, PathSuggester
from engine.core.errors import BasError, UserError
from engine.scenes.image_files import SUFFIXES
from engine.scenes.scene import find_image


class PhotoOpener:
    """Lays a photo on the desk, without masks."""

    def __init__(self, desk: Desk, drafts: RegionDrafts, opened: Callable[[], None]) -> None:
        self._desk, self._drafts, self._opened = desk, drafts, opened

    def open_path(self, path: Path) -> None:
        """Show a photo; an error leaves everything as it was."""
        try:
            file = open_bare_photo(_photo_of(path))
        except BasError as error:
            if self._desk.file is None:
                self.ask(str(error))
            else:
                self._desk.screen.bas.show_error(error)
            return
        self._drafts.keep_now()
        self._desk.put(file)
        # A region is where a thing shall be: most often there is none to be found.
        self._desk.canvas.action_tool("brush")
        remember_scene(self._desk.screen.bas, file.photo)
        self._opened()

    def ask(self, problem: str = "") -> None:
        """Ask for a photo; `problem` is why the last one could not be opened."""
        screen = self._desk.screen
        recent = [Path(path) for path in remembered(screen.bas).get("recent", []) if path]
        choices = [(f"{path.name}   {path}", str(path)) for path in recent[:4]]
        choices += [(f"{path.name}   (came with bas)", str(path)) for path in packaged_scenes()]

        def check(text: str) -> None:
            if not text.strip():
                raise UserError("no photo is named", "type a path or choose one below")
            open_bare_photo(_photo_of(Path(text.strip())))

        def done(text: str | None) -> None:
            if text:
                self.open_path(Path(text.strip()))

        screen.app.push_screen(
            Ask(
                "Open the photo to be edited", hint="photo.jpg", check=check, choices=choices,
                suggester=PathSuggester(SUFFIXES), problem=problem,
            ),
            done,
        )  # fmt: skip


def _photo_of(path: Path) -> Path:
    """The photo itself, or that of a scene's folder."""
    path = path.expanduser()
    if not path.exists():
        raise UserError(f"there is no photo {path}", "check the path")
    return find_image(path) if path.is_dir() else path
