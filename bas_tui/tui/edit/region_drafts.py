"""Regions and their prompts kept beside the runs, so that a closed terminal loses none of them."""

from __future__ import annotations

import time
from functools import partial

from textual.timer import Timer

from bas_tui.tui.edit.region_desk import RegionDesk
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.file_actions import AUTOSAVE_SECONDS
from bas_tui.tui.scene.unsaved_work import drop_recovery, read_recovery, write_recovery

KIND = "edit"


class RegionDrafts:
    """Writes what lies on the desk a moment after it changed; puts it back with its photo."""

    def __init__(self, desk: Desk, regions: RegionDesk) -> None:
        self._desk, self._regions = desk, regions
        self._timer: Timer | None = None

    def restore(self) -> str:
        """Put the photo's last regions on the desk; what to say of them, or where none are."""
        file, document = self._desk.file, self._desk.document
        found = read_recovery(file.photo, file.image, KIND) if file is not None else None
        if document is None or found is None or not found.concepts:
            return "paint where the photo may change, w says what to draw there, ctrl+g draws it"
        document.restore(found.concepts, "regions of last time")
        self._desk.canvas.current = document.concepts[0].key
        self._desk.canvas.changed()
        prompts, keep, decoder_steps = map(found.told.get, ("prompts", "keep", "decoder_steps"))
        if isinstance(prompts, list) and isinstance(keep, float) and isinstance(decoder_steps, int):
            self._regions.take_over(list(map(str, prompts)), keep, decoder_steps)
        when = time.strftime("%H:%M", time.localtime(found.saved_at))
        return f"your regions of {when} are back; u takes them away"

    def keep_soon(self) -> None:
        """Keep them a moment from now."""
        if self._timer is None and self._desk.document is not None:
            self._timer = self._desk.screen.set_timer(AUTOSAVE_SECONDS, self._keep)

    def keep_now(self) -> bool:
        """Keep them at once, if they changed; whether that worked."""
        if self._timer is None:
            return True
        self._timer.stop()
        self._timer = None
        try:
            self._write()()
        except OSError:
            return False
        return True

    def _keep(self) -> None:
        self._timer = None
        self._desk.screen.run_worker(
            self._write(), thread=True, exclusive=True, group="drafts", exit_on_error=False
        )

    def _write(self) -> partial[object]:
        """What puts the present regions on the disk."""
        file, document = self._desk.file, self._desk.document
        assert file is not None and document is not None
        if not document.concepts:
            return partial(drop_recovery, file.photo, KIND)
        told = self._regions.told(document)
        return partial(write_recovery, file.photo, file.image, document.snapshot(), KIND, told)
