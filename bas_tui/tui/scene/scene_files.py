"""Scene screen: opening pictures, saving masks, keeping unsaved painting."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual import work

from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.scene.mask_folder import plan_save, save_masks
from bas_tui.tui.scene.photo_file import (
    SceneFile,
    at_photo_size,
    open_scene_file,
    packaged_scenes,
    suggested_folder,
)
from bas_tui.tui.scene.scene_base import SceneBase
from bas_tui.tui.scene.unsaved_work import drop_recovery, read_recovery, write_recovery
from bas_tui.tui.shell.ask import Ask, PathSuggester
from engine.core.errors import BasError, UserError
from engine.scenes.image_files import SUFFIXES

AUTOSAVE_SECONDS = 1.5


class FileActions(SceneBase):
    """Actions on files."""

    def open_path(self, path: Path, masks: Sequence[Path] = ()) -> None:
        """Show a picture; an error leaves everything as it was."""
        self._keep_now()
        try:
            file = open_scene_file(path, masks)
        except BasError as error:
            if self.file is None:
                self.ask_for_scene(str(error))
            else:
                self.bas.show_error(error)
            return
        self.file = file
        self.document = MaskDocument(file.image, file.concepts)
        self.save_folder = None
        self.own_files = [mask.name for mask in file.mask_files]
        current = self.document.concepts[0].key if self.document.concepts else 0
        self.canvas.load(self.document, current)
        recovered = read_recovery(file.source, file.image)
        if recovered is not None:
            self.document.restore(recovered.concepts, "recovered painting")
            self.canvas.current = next((c.key for c in self.document.concepts), 0)
            when = time.strftime("%H:%M", time.localtime(recovered.saved_at))
            self.say(
                f"your unsaved painting of {when} is back; X takes the files' masks", "warning"
            )
        elif not file.concepts:
            self.say("no masks yet: drag to paint, x boxes a thing, n names the next one")
        self._remember_scene(file.source)
        self.show_all()
        self.canvas.focus()

    def action_open_scene(self) -> None:
        """Ask for a picture."""
        self.ask_for_scene()

    def ask_for_scene(self, problem: str = "") -> None:
        """Ask for a picture; `problem` is why the last one could not be opened."""
        recent = [str(path) for path in self._remembered().get("recent", []) if path]
        choices = [(f"{Path(path).name}   {path}", path) for path in recent[:4]]
        choices += [(f"{path.name}   (came with bas)", str(path)) for path in packaged_scenes()]

        def check(text: str) -> None:
            if not text.strip():
                raise UserError("no picture is named", "type a path or choose one below")
            open_scene_file(Path(text.strip()))

        def done(text: str | None) -> None:
            if text:
                self.open_path(Path(text.strip()))

        self.app.push_screen(
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
            self._autosave = self.set_timer(AUTOSAVE_SECONDS, self._autosave_now)

    def _autosave_now(self) -> None:
        self._autosave = None
        if self.file is None or self.document is None:
            return
        if self.document.dirty:
            self._write_recovery(self.file, self.document.snapshot())
        else:
            drop_recovery(self.file.source)

    @work(thread=True, exclusive=True, group="recovery", exit_on_error=False)
    def _write_recovery(self, file: SceneFile, concepts: list[ConceptMask]) -> None:
        write_recovery(file.source, file.image, concepts)

    def _keep_now(self) -> bool:
        """Keep unsaved painting at once; whether that worked."""
        if self._autosave is not None:
            self._autosave.stop()
            self._autosave = None
        if self.file is None or self.document is None or not self.document.dirty:
            return True
        self.document.end_stroke()
        try:
            write_recovery(self.file.source, self.file.image, self.document.snapshot())
        except OSError:
            return False
        return True

    def unsaved(self) -> str:
        """Painting is kept for the next start, so nothing is lost unless that fails."""
        if self._keep_now():
            return ""
        return "unsaved masks (they could not be kept for the next start: is the disk full?)"

    def on_unmount(self) -> None:
        """The last moment to keep painting."""
        self._keep_now()

    def action_save(self) -> None:
        """Save the masks; asks where, once."""
        file, document = self.file, self.document
        if file is None or document is None:
            return
        if not document.concepts:
            self.say("there is no mask to save yet", "warning")
            return
        self.canvas.lift()
        if self.save_folder is not None:
            self._save_to(self.save_folder)
            return
        folders = list(dict.fromkeys(filter(None, (suggested_folder(file), file.masks_folder))))
        choices = [(self._remark(str(folder)), str(folder)) for folder in folders]

        def check(text: str) -> None:
            if not text.strip():
                raise UserError("no folder is named", "type a folder for the masks")
            self._save_to(Path(text.strip()).expanduser())

        self.app.push_screen(
            Ask(
                "Save the masks to", str(folders[0]), check=check, remark=self._remark,
                choices=choices if len(choices) > 1 else (), suggester=PathSuggester(),
            )
        )  # fmt: skip

    def _remark(self, text: str) -> str:
        if self.document is None or not text.strip():
            return ""
        folder = Path(text.strip()).expanduser()
        target = plan_save(folder, [c.name for c in self.document.concepts], self._own(folder))
        count = len(self.document.concepts)
        what = f"{folder.name}/: {'' if folder.exists() else 'new folder, '}{count} files"
        if target.overwrites:
            what += f"; writes over {', '.join(target.overwrites)}"
        if target.removes:
            what += f"; removes {', '.join(target.removes)}"
        return what

    def _own(self, folder: Path) -> list[str]:
        """Files in `folder` that this document was read from or wrote."""
        mine = self.save_folder or (self.file.masks_folder if self.file else None)
        return self.own_files if mine is not None and folder.resolve() == mine.resolve() else []

    def _save_to(self, folder: Path) -> None:
        """Write; raises UserError."""
        file, document = self.file, self.document
        if file is None or document is None:
            return
        concepts = document.snapshot()
        target = plan_save(folder, [concept.name for concept in concepts], self._own(folder))
        written = save_masks(target, at_photo_size(file, concepts))
        self.save_folder, self.own_files = folder, [path.name for path in written]
        document.history.mark_saved()
        drop_recovery(file.source)
        self.show_header()
        self.say(f"saved {len(written)} masks to {folder}")

    def _remembered(self) -> dict[str, Any]:
        try:
            record = json.loads(self.bas.prefs.scene or "{}")
        except ValueError:
            return {}
        return record if isinstance(record, dict) else {}

    def _remember_scene(self, source: Path) -> None:
        record = self._remembered()
        path = str(source.resolve())
        recent = [path, *(old for old in record.get("recent", []) if old != path)][:6]
        self.bas.remember(scene=json.dumps({**record, "recent": recent}))
