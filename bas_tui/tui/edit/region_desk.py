"""The regions that lie on a desk, each with its prompt: shown, chosen, made, deleted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from bas_tui.tui.compose.prompt_input import PromptInput
from bas_tui.tui.edit.region_list import DECODER_STEPS, KEEPS, RegionLine, RegionList, RegionState
from bas_tui.tui.edit.regions import RegionPrompts, photo_edit
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.photo_file import SceneFile
from engine.runs.folder import RunDir
from engine.runs.requests import GenerationRequest, PhotoEdit


class RegionDesk:
    """Keeps the list of regions and the line of the current one's prompt."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.prompts = RegionPrompts()
        self.keep = 0.25
        """How much of what is there is kept, 0..1."""
        self.decoder_steps = 0
        """How long the decoder is fitted to the photo."""
        self.current = -1
        """Key of the region whose prompt is on the line; -1: there is none."""

    @property
    def _line(self) -> PromptInput:
        return self._desk.screen.query_one("#prompt", PromptInput)

    def clear(self) -> None:
        """Another photo has other regions."""
        self.prompts.clear()
        self.current = -1

    def store_prompt(self) -> None:
        """What is on the line belongs to the region that it was shown for."""
        if self.current >= 0:
            self.prompts.write(self.current, self._line.value)

    def show(self, *, stored: bool = True) -> None:
        """The list of regions, and the prompt of the current one.

        `stored` False: the prompts were written anew, and the line shows an old one.
        """
        document, canvas = self._desk.document, self._desk.canvas
        if document is None:
            return
        keys = [region.key for region in document.concepts]
        current = canvas.current if canvas.current in keys else -1
        if stored:
            self.store_prompt()
        if current != self.current or not stored:
            self.current, line = current, self._line
            text = self.prompts.text(current, keys.index(current)) if current >= 0 else ""
            line.value = text
            line.cursor_position = len(text)
        self._desk.screen.query_one(RegionList).state = RegionState(
            regions=tuple(
                RegionLine(key=key, prompt=text, share=document.coverage(key))
                for key, text in zip(keys, self.prompts.of(document), strict=True)
            ),
            current=current,
            keep=self.keep,
            decoder_steps=self.decoder_steps,
        )

    def choose(self, key: int) -> None:
        """Make a region the current one."""
        canvas = self._desk.canvas
        canvas.lift()
        canvas.current = key
        canvas.changed()
        self.show()

    def cycle(self, steps: int) -> None:
        """Next or previous region."""
        document = self._desk.document
        if document is not None and document.concepts:
            keys = [region.key for region in document.concepts]
            place = keys.index(self.current) if self.current in keys else 0
            self.choose(keys[(place + steps) % len(keys)])

    def add(self) -> None:
        """Another region, to be painted now."""
        desk = self._desk
        if desk.edit(lambda document, _key: document.add()):
            desk.screen.say("a new region: paint it; w says what to draw there")
            desk.screen.set_focus(desk.canvas)

    def delete(self) -> None:
        """Delete the current region."""
        document = self._desk.document
        if document is not None and document.concepts:
            self._desk.edit(lambda document, key: document.delete(key))
            self._desk.screen.say("deleted the region; u brings it back")

    def change_keep(self, steps: int) -> None:
        """Keep more or less of what is there."""
        place = min(range(len(KEEPS)), key=lambda index: abs(KEEPS[index] - self.keep))
        self.keep = KEEPS[max(0, min(len(KEEPS) - 1, place + steps))]
        self.show()

    def change_decoder(self, steps: int) -> None:
        """Fit the decoder longer or shorter; after the longest it is off again."""
        place = sum(choice <= self.decoder_steps for choice in DECODER_STEPS) - 1
        self.decoder_steps = DECODER_STEPS[(place + steps) % len(DECODER_STEPS)]
        self.show()

    def told(self, document: MaskDocument) -> dict[str, Any]:
        """How the regions are to be drawn, as JSON can hold it."""
        prompts = self.prompts.of(document)
        return {"prompts": prompts, "keep": self.keep, "decoder_steps": self.decoder_steps}

    def take_over(self, prompts: Sequence[str], keep: float | None, decoder_steps: int) -> None:
        """Draw as was done before; prompts are left alone where they are those of other regions."""
        self.keep = self.keep if keep is None else keep
        self.decoder_steps = decoder_steps
        document = self._desk.document
        same = document is not None and len(prompts) == len(document.concepts)
        if document is not None and same:
            for region, text in zip(document.concepts, prompts, strict=True):
                self.prompts.write(region.key, text)
        self.show(stored=not same)

    def asked(self, file: SceneFile, document: MaskDocument, run: RunDir) -> PhotoEdit:
        """The edit of what lies on the desk; raises UserError as `photo_edit` does."""
        self.store_prompt()
        return photo_edit(
            file, document.snapshot(), self.prompts.of(document), run, self.keep,
            self.decoder_steps,
        )  # fmt: skip

    def words(self, last: GenerationRequest | None, options: str) -> dict[str, str]:
        """Prompts, masks and `options` as words of a `bas edit` command.

        The files of the `last` request are named where the painting is still the same.
        """
        document = self._desk.document
        self.store_prompt()
        prompts = [] if document is None else self.prompts.of(document)
        drawn = last.edit.regions if last is not None and last.edit is not None else ()
        same = document is not None and not document.dirty and len(drawn) == len(prompts)
        files = [str(region.mask) for region in drawn] if same else ["REGION"] * len(prompts)
        options += f" --start {self.keep:g}"
        options += f" --decoder-steps {self.decoder_steps}" if self.decoder_steps else ""
        return {
            "options": options,
            "prompts": " ".join(map(shlex.quote, prompts)),
            "masks": "".join(f" --mask {shlex.quote(name)}" for name in files),
        }
