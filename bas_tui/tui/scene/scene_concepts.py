"""Scene screen: undo, concepts, overlay, and box -> mask."""

from __future__ import annotations

import time
from typing import Any

from textual import on, work

from bas_tui.tui.scene.box_to_mask import box_to_mask
from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.mask_legend import MaskLegend
from bas_tui.tui.scene.mask_render import OVERLAY_HELP
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.scene.pixel_box import Box
from bas_tui.tui.scene.scene_base import SceneBase
from bas_tui.tui.shell.ask import Ask
from engine.core.errors import BasError


class ConceptActions(SceneBase):
    """Actions on the document and its concepts."""

    def action_undo(self) -> None:
        """One step back."""
        self._history("undo")

    def action_redo(self) -> None:
        """One step forth."""
        self._history("redo")

    def _history(self, what: str) -> None:
        document = self.document
        if document is None:
            return
        label = getattr(document.history, f"{what}_label")
        self.edit(lambda doc, _key: getattr(doc, what)() and None)
        undo, redo = document.history.depth()
        done = f"{'took back' if what == 'undo' else 'made again'}: {label}" if label else ""
        self.say(f"{done or f'nothing to {what}'} ({undo} to undo, {redo} to redo)")

    def action_new_concept(self) -> None:
        """Add a concept and name it."""
        document = self.document
        if document is None:
            return
        position = len(document.concepts)

        def done(name: str | None) -> None:
            if name is not None:
                self.edit(lambda doc, _key: doc.add(name))
                self.canvas.focus()

        self.app.push_screen(
            Ask(
                "Name the new concept", hint=f"asset{position}",
                check=lambda name: MaskDocument(document.image, document.snapshot()).add(name),
                remark=lambda _: f"its token is <asset{position}>; a prompt may also say its "
                "name, as in <cat>",
            ),
            done,
        )  # fmt: skip

    def action_rename(self) -> None:
        """Rename the current concept."""
        if not self._has_concept() or self.document is None:
            return
        document, key = self.document, self.canvas.current
        name = document.concept(key).name

        def check(text: str) -> None:
            position = [c.key for c in document.concepts].index(key)
            trial = MaskDocument(document.image[:1, :1], [
                ConceptMask(c.name, document.mask(c.key)[:1, :1]) for c in document.concepts
            ])  # fmt: skip
            trial.rename(position, text)

        def done(text: str | None) -> None:
            if text is not None:
                self.edit(lambda doc, _key: doc.rename(key, text))

        self.app.push_screen(Ask(f"Rename {name}", name, check=check), done)

    def action_initializer(self) -> None:
        """Set the start word of the current concept."""
        if not self._has_concept() or self.document is None:
            return
        key = self.canvas.current
        concept = self.document.concept(key)

        def done(text: str | None) -> None:
            if text is not None:
                self.edit(lambda doc, _key: doc.set_initializer(key, text))

        self.app.push_screen(
            Ask(
                f"A word that {concept.name} resembles; its token starts there",
                concept.initializer, hint="none",
                remark=lambda _: "empty: the token starts from other words of the model",
            ),
            done,
        )  # fmt: skip

    def action_delete(self) -> None:
        """Delete the current concept."""
        if self._has_concept() and self.document is not None:
            name = self.document.concept(self.canvas.current).name
            self.edit(lambda doc, key: doc.delete(key))
            self.say(f"deleted {name}; u brings it back")

    def action_move(self, offset: int) -> None:
        """Reorder."""
        if self._has_concept():
            self.edit(lambda doc, key: doc.move(key, offset))

    def action_cycle(self, steps: int) -> None:
        """Next or previous concept."""
        if self.document is not None and self.document.concepts:
            keys = [concept.key for concept in self.document.concepts]
            place = keys.index(self.canvas.current) if self.canvas.current in keys else 0
            self._choose(keys[(place + steps) % len(keys)])

    def action_pick(self, index: int) -> None:
        """Concept by number."""
        if self.document is not None and index < len(self.document.concepts):
            self._choose(self.document.concepts[index].key)

    def _choose(self, key: int) -> None:
        self.canvas.lift()
        self.canvas.current = key
        self.canvas.changed()
        self.inspect_now()

    @on(MaskLegend.Chosen)
    def _legend_chosen(self, event: MaskLegend.Chosen) -> None:
        self._choose(event.key)
        if event.rename:
            self.action_rename()

    def action_background(self) -> None:
        """Complement of the union."""
        self.edit(lambda doc, _key: doc.add_background())

    def action_discard(self) -> None:
        """Back to the masks of the files."""
        file = self.file
        if file is not None:
            self.edit(lambda doc, _key: doc.restore(file.concepts, "back to the files"))
            self.say("the masks are as their files have them; u takes that back")

    def action_overlay(self) -> None:
        """Next way to show masks."""
        self.say(OVERLAY_HELP[self.canvas.next_overlay()])

    def action_canvas(self, action: str, *values: Any) -> None:
        """A click on the tool bar."""
        self.set_focus(self.canvas)
        getattr(self.canvas, f"action_{action}")(*values)

    @on(MaskCanvas.BoxDrawn)
    def _box_drawn(self, event: MaskCanvas.BoxDrawn) -> None:
        document = self.document
        if document is None:
            return
        if not document.concepts:
            self.canvas.current = document.add()
        self.canvas.busy_box = event.box
        self.canvas.draw()
        self.query_one(MaskTools).busy = "looking for the thing ..."
        self._find_in_box(document, self.canvas.current, event.box)

    @work(thread=True, exclusive=True, group="box", exit_on_error=False)
    def _find_in_box(self, document: MaskDocument, key: int, box: Box) -> None:
        started = time.perf_counter()
        try:
            found = box_to_mask(document.image, box, inside=document.mask(key).copy())
        except BasError as error:
            self.app.call_from_thread(self._box_done, document, key, box, None, error)
            return
        except Exception as error:  # The box must not stay "looking" for ever.
            wrapped = BasError(f"no mask was found: {error}", "use the brush or flood fill")
            self.app.call_from_thread(self._box_done, document, key, box, None, wrapped)
            return
        seconds = time.perf_counter() - started
        self.app.call_from_thread(self._box_done, document, key, box, (found, seconds), None)

    def _box_done(
        self, document: MaskDocument, key: int, box: Box, found: Any, error: BasError | None
    ) -> None:
        if self.canvas.busy_box != box:
            return
        self.canvas.busy_box = None
        self.query_one(MaskTools).busy = ""
        if error is not None:
            self.bas.show_error(error)
        elif document is self.document and any(c.key == key for c in document.concepts):
            mask, seconds = found
            document.set_box(key, box, mask)
            self.changed()
            self.say(f"found in {seconds:.1f} s; a dab on the thing and a second box refine it")
        self.canvas.changed()
