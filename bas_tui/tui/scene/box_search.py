"""Looks for the thing within a box, in a thread of its own."""

from __future__ import annotations

import time
from typing import Any

from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.mask_tools import MaskTools
from engine.core.errors import BasError
from engine.scenes.pixel_box import Box
from engine.segments.grab_cut import box_to_mask


class BoxSearch:
    """Fills the current concept from a box; only the last box counts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def start(self, box: Box) -> None:
        """Look within a box; what is found becomes the current concept's mask."""
        desk, document = self._desk, self._desk.document
        if document is None:
            return
        if not document.concepts:
            desk.canvas.current = document.add_to_paint()
        key = desk.canvas.current
        desk.canvas.busy_box = box
        desk.canvas.draw()
        desk.screen.query_one(MaskTools).busy = "looking for the thing ..."
        desk.screen.run_worker(
            lambda: self._find(document, key, box),
            thread=True, exclusive=True, group="box", exit_on_error=False,
        )  # fmt: skip

    def _find(self, document: MaskDocument, key: int, box: Box) -> None:
        started, app = time.perf_counter(), self._desk.screen.app
        try:
            found = box_to_mask(document.image, box, inside=document.mask(key).copy())
        except BasError as error:
            app.call_from_thread(self._done, document, key, box, None, error)
            return
        except Exception as error:  # The box must not stay "looking" for ever.
            wrapped = BasError(f"no mask was found: {error}", "use the brush or flood fill")
            app.call_from_thread(self._done, document, key, box, None, wrapped)
            return
        seconds = time.perf_counter() - started
        app.call_from_thread(self._done, document, key, box, (found, seconds), None)

    def _done(
        self, document: MaskDocument, key: int, box: Box, found: Any, error: BasError | None
    ) -> None:
        desk = self._desk
        if desk.canvas.busy_box != box:
            return
        desk.canvas.busy_box = None
        desk.screen.query_one(MaskTools).busy = ""
        if error is not None:
            desk.screen.bas.show_error(error)
        elif document is desk.document and any(c.key == key for c in document.concepts):
            mask, seconds = found
            document.set_box(key, box, mask)
            desk.changed()
            desk.screen.say(
                f"found in {seconds:.1f} s; a dab on the thing and a second box refine it"
            )
        desk.canvas.changed()
