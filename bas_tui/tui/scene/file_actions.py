"""Files of the Scene screen: opening pictures, saving masks, keeping unsaved painting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from textual.timer import Timer

from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import ConceptMask
from bas_tui.tui.scene.mask_folder import plan_save, save_masks
from bas_tui.tui.scene.photo_file import (
    SceneFile,
    at_photo_size,
    open_scene_file,
    packaged_scenes,
    suggested_folder,
)
from bas_tui.tui.scene.remembered import remember_scene, remembered
from bas_tui.tui.scene.unsaved_work import drop_recovery, read_recovery, write_recovery
from bas_tui.tui.shell.ask import Ask, PathSuggester
from engine.core.errors import BasError, UserError
from engine.scenes.image_files import SUFFIXES

AUTOSAVE_SECONDS = 1.5


class FileActions:
    """Opens and saves, and keeps what is not saved for the next start."""

    def __init__(
        self, desk: Desk, *, opened: Callable[[], None], saved: Callable[[], None]
    ) -> None:
        self._desk, self._screen = desk, desk.screen
        self._opened, self._saved = opened, saved
        self.save_folder: Path | None = None
        """Where `save` writes without asking again."""
        self._own_files: list[str] = []
        self._autosave: Timer | None = None

    def open_path(self, path: Path, masks: Sequence[Path] = ()) -> None:
        """Show a picture; an error leaves everything as it was."""
        try:
            file = open_scene_file(path, masks)
        except BasError as error:
            if self._desk.file is None:
                self.ask_for_scene(str(error))
            else:
                self._screen.bas.show_error(error)
            return
        self._show(file)

    def _show(self, file: SceneFile) -> None:
        self.keep_now()
        document = self._desk.put(file)
        self.save_folder = None
        self._own_files = [mask.name for mask in file.mask_files]
        recovered = read_recovery(file.source, file.image)
        if recovered is not None:
            document.restore(recovered.concepts, "recovered painting")
            self._desk.canvas.current = next((c.key for c in document.concepts), 0)
            when = time.strftime("%H:%M", time.localtime(recovered.saved_at))
            self._screen.say(
                f"your unsaved painting of {when} is back; X takes the files' masks", "warning"
            )
        elif not file.concepts:
            self._screen.say("no masks yet: click on a thing, enter takes it; b paints")
        remember_scene(self._screen.bas, file.source)
        self._opened()
        self._desk.canvas.focus()

    def ask_for_scene(self, problem: str = "") -> None:
        """Ask for a picture; `problem` is why the last one could not be opened."""
        recent = [str(path) for path in remembered(self._screen.bas).get("recent", []) if path]
        choices = [(f"{Path(path).name}   {path}", path) for path in recent[:4]]
        choices += [(f"{path.name}   (came with bas)", str(path)) for path in packaged_scenes()]

        found: list[SceneFile] = []

        def check(text: str) -> None:
            if not text.strip():
                raise UserError("no picture is named", "type a path or choose one below")
            # A large photo takes a moment to be read: once is enough.
            found[:] = [open_scene_file(Path(text.strip()))]

        def done(text: str | None) -> None:
            if text:
                self._show(found[0])
            elif self._desk.file is None:
                self._screen.say("no picture is open: O opens one")

        self._screen.app.push_screen(
            Ask(
                "Open a picture or a folder with picture and masks", hint="photo.jpg",
                check=check, choices=choices, suggester=PathSuggester(SUFFIXES),
                problem=problem,
            ),
            done,
        )  # fmt: skip

    def keep_soon(self) -> None:
        """Keep unsaved painting a moment from now, for the next start."""
        if self._autosave is None:
            self._autosave = self._screen.set_timer(AUTOSAVE_SECONDS, self._autosave_now)

    def _autosave_now(self) -> None:
        self._autosave = None
        if self._desk.file is None or self._desk.document is None:
            return
        if self._desk.document.dirty:
            self._write_soon(self._desk.file, self._desk.document.snapshot())
        else:
            drop_recovery(self._desk.file.source)

    def _write_soon(self, file: SceneFile, concepts: list[ConceptMask]) -> None:
        self._screen.run_worker(
            lambda: write_recovery(file.source, file.image, concepts),
            thread=True, exclusive=True, group="recovery", exit_on_error=False,
        )  # fmt: skip

    def keep_now(self) -> bool:
        """Keep unsaved painting at once; whether that worked."""
        if self._autosave is not None:
            self._autosave.stop()
            self._autosave = None
        if self._desk.file is None or self._desk.document is None or not self._desk.document.dirty:
            return True
        self._desk.document.end_stroke()
        try:
            write_recovery(
                self._desk.file.source, self._desk.file.image, self._desk.document.snapshot()
            )
        except OSError:
            return False
        return True

    def save(self) -> None:
        """Save the masks; asks where, once."""
        file, document = self._desk.file, self._desk.document
        if file is None or document is None:
            return
        if not document.concepts:
            self._screen.say("there is no mask to save yet", "warning")
            return
        self._desk.canvas.lift()
        if self.save_folder is None:
            self._ask_for_folder(file)
            return
        try:
            self._save_to(self.save_folder)
        except UserError as error:
            self._ask_for_folder(file, str(error))

    def _ask_for_folder(self, file: SceneFile, problem: str = "") -> None:
        """Ask where to save; `problem` is why the folder of last time would not do."""
        folders = list(dict.fromkeys(filter(None, (suggested_folder(file), file.masks_folder))))
        choices = [(self._remark(str(folder)), str(folder)) for folder in folders]

        def check(text: str) -> None:
            if not text.strip():
                raise UserError("no folder is named", "type a folder for the masks")
            self._save_to(Path(text.strip()).expanduser())

        self._screen.app.push_screen(
            Ask(
                "Save the masks to", str(folders[0]), check=check, remark=self._remark,
                choices=choices if len(choices) > 1 else (), suggester=PathSuggester(),
                problem=problem,
            )
        )  # fmt: skip

    def _remark(self, text: str) -> str:
        if self._desk.document is None or not text.strip():
            return ""
        folder = Path(text.strip()).expanduser()
        target = plan_save(
            folder, [c.name for c in self._desk.document.concepts], self._own(folder)
        )
        count = len(self._desk.document.concepts)
        what = f"{folder.name}/: {'' if folder.exists() else 'new folder, '}{count} files"
        if target.overwrites:
            what += f"; writes over {', '.join(target.overwrites)}"
        if target.removes:
            what += f"; removes {', '.join(target.removes)}"
        return what

    def _own(self, folder: Path) -> list[str]:
        """Files in `folder` that this document was read from or wrote."""
        mine = self.save_folder or (self._desk.file.masks_folder if self._desk.file else None)
        return self._own_files if mine is not None and folder.resolve() == mine.resolve() else []

    def _save_to(self, folder: Path) -> None:
        """Write; raises UserError."""
        file, document = self._desk.file, self._desk.document
        if file is None or document is None:
            return
        concepts = document.snapshot()
        target = plan_save(folder, [concept.name for concept in concepts], self._own(folder))
        written = save_masks(target, at_photo_size(file, concepts))
        self.save_folder, self._own_files = folder, [path.name for path in written]
        document.history.mark_saved()
        drop_recovery(file.source)
        self._saved()
        self._screen.say(f"saved {len(written)} masks to {folder}")
