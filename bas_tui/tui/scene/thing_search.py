"""Looks for a thing by clicks, a box or words, in a process of its own; a person then chooses."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual.message import Message

from bas_tui.client.segmenter import Finder
from bas_tui.error_log import unexpected
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.mask_canvas_picture import Preview
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.shell.ask import Ask
from engine.core.errors import BasError, UserError
from engine.scenes.mask_names import concept_names
from engine.scenes.pixel_box import Box, Point
from engine.segments.candidates import distinct
from engine.segments.contract import Cancelled, Candidate, Click
from engine.segments.wire import Looking

EMBEDDED = "embedded"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is asked for, and the masks that may be meant; nothing of it is the document's yet."""

    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    words: str = ""
    candidates: tuple[Candidate, ...] = ()
    """Best first; empty while they are looked for."""
    chosen: int = 0


class ThingSearch:
    """One thing at a time; only the last question counts."""

    class Answered(Message):
        """The process has found something, or not, or (a text) tells what it does."""

        def __init__(self, number: int, found: list[Candidate] | BasError | str) -> None:
            super().__init__()
            self.number, self.found = number, found

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._segmenter, self._words_by = EMBEDDED, ""
        self._finder: Finder | None = None
        self._number = 0
        self.proposal: Proposal | None = None

    def use(self, segmenter: str, words_by: str) -> None:
        """Look with another segmenter, as `bas open --segmenter` has it."""
        self.close()
        self._segmenter, self._words_by = segmenter or EMBEDDED, words_by

    def warm_up(self) -> None:
        """Let a model read the photo before the first click; the embedded one needs nothing."""
        if self._desk.document is not None and self._segmenter != EMBEDDED:
            self._start(None)

    def close(self) -> None:
        """End the process; nobody waits."""
        self.proposal = None
        self._number += 1
        finder, self._finder = self._finder, None
        if finder is not None:
            threading.Thread(target=finder.close, daemon=True).start()

    # Asking

    def point(self, at: Point, adds: bool) -> None:
        """One more place that is of the thing, or is not."""
        now = self.proposal or Proposal()
        if not adds and now.box is None and not now.candidates and not now.clicks:
            self._desk.screen.say("click on the thing first: this says what is not of it")
            return
        # What words found has no place yet: its own deepest one would be guessed.
        clicks = (*now.clicks, Click(at, adds))
        if not any(click.adds for click in clicks) and now.box is None:
            self._desk.screen.say("say first what is of it", "warning")
            return
        self._ask(Proposal(clicks=clicks, box=now.box, words=now.words))

    def box(self, box: Box) -> None:
        """A box around the thing."""
        self._ask(Proposal(box=box))

    def ask_words(self) -> None:
        """Ask how the thing is called, and look for it."""
        if self._desk.document is None:
            return
        if not self._words_by and self._segmenter == EMBEDDED:
            self._desk.screen.say(
                "the embedded segmenter reads no words: bas open PHOTO --words-by FOLDER_OR_ID",
                "warning",
            )
            return

        def done(words: str | None) -> None:
            if words and words.strip():
                self._ask(Proposal(words=words.strip()))

        self._desk.screen.app.push_screen(Ask("Find by words", hint="the red teapot"), done)

    def _ask(self, proposal: Proposal) -> None:
        self.proposal = proposal
        self._desk.canvas.lift()
        self._show("looking for the thing ...")
        self._start(proposal)

    def _start(self, proposal: Proposal | None) -> None:
        document = self._desk.document
        if document is None:
            return
        self._number += 1
        if self._finder is None:
            self._finder = Finder(self._segmenter, self._words_by)
        self._finder.cancel()
        taken = [document.mask(concept.key).copy() for concept in document.concepts]
        work = (self._finder, self._number, document, proposal, taken)
        threading.Thread(target=self._work, args=work, name="find", daemon=True).start()

    def _work(
        self,
        finder: Finder,
        number: int,
        document: MaskDocument,
        proposal: Proposal | None,
        taken: Sequence,
    ) -> None:
        post = self._desk.screen.post_message

        def tell(event: Looking) -> None:
            share = f" {event.done / event.total:.0%}" if event.total else ""
            post(self.Answered(number, f"{event.what}{share} ..."))

        try:
            if proposal is None:
                finder.ask("read", document.image, tell=tell)
                post(self.Answered(number, ""))
                return
            by_words = bool(proposal.words) and not proposal.clicks
            candidates = finder.ask(
                "named" if by_words else "at", document.image,
                clicks=proposal.clicks, box=proposal.box, words=proposal.words, tell=tell,
            )  # fmt: skip
            found = distinct(candidates, taken)
            if not found:
                raise UserError("that is a concept already", "click on another thing")
            post(self.Answered(number, found))
        except Cancelled:
            post(self.Answered(number, ""))
        except BasError as error:
            post(self.Answered(number, error))
        except Exception as error:  # The screen must not say "looking" for ever.
            post(self.Answered(number, unexpected(error, "nothing was found")))

    # Answers

    def answered(self, event: Answered) -> None:
        """Show the first candidate, why there is none, or what the process does."""
        if event.number != self._number:
            return
        if isinstance(event.found, str):
            self._desk.screen.query_one(MaskTools).busy = event.found
            return
        if isinstance(event.found, BasError):
            self.drop()
            self._desk.screen.bas.show_error(event.found)
        elif self.proposal is not None:
            self.proposal = replace(self.proposal, candidates=tuple(event.found))
            self._show()

    # Choosing

    def another(self) -> None:
        """The next candidate."""
        now = self.proposal
        if now is None or not now.candidates:
            self._desk.screen.say("nothing was found yet: click on a thing with Find (d)")
            return
        if len(now.candidates) == 1:
            self._desk.screen.say("it is the only candidate; another click tells more")
        self.proposal = replace(now, chosen=(now.chosen + 1) % len(now.candidates))
        self._show()

    def take(self) -> None:
        """Make the candidate a concept: of the current one if that is empty, else a new one."""
        now = self.proposal
        if now is None or not now.candidates:
            self._desk.screen.say("it is still being looked for")
            return
        mask = now.candidates[now.chosen].mask

        def change(document: MaskDocument, current: int) -> int:
            if any(
                c.key == current and not document.mask(current).any() for c in document.concepts
            ):
                document.replace(current, mask, "find")
                return current
            return document.add(_free_name(document, now.words), mask=mask)

        self.drop()
        if self._desk.edit(change) and self._desk.document is not None:
            name = self._desk.document.concept(self._desk.canvas.current).name
            self._desk.screen.say(f"{name} has it: r names it, b paints on; click the next thing")

    def drop(self) -> None:
        """Forget what is asked and found."""
        if self.proposal is None:
            return
        self.proposal = None
        self._number += 1
        if self._finder is not None:
            self._finder.cancel()
        self._show()

    def step_back(self) -> bool:
        """Take the last click back; whether there was one."""
        now = self.proposal
        if now is None:
            return False
        clicks = now.clicks[:-1]
        if not clicks and now.box is None:
            self.drop()
        elif now.clicks:
            self._ask(Proposal(clicks=clicks, box=now.box, words=now.words))
        else:
            self.drop()
        return True

    def _show(self, busy: str = "") -> None:
        """What is found, on the picture and in the tool bar."""
        tools, canvas = self._desk.screen.query_one(MaskTools), self._desk.canvas
        now, document = self.proposal, self._desk.document
        tools.busy, tools.found = busy, ""
        canvas.preview = None
        if now is not None and document is not None:
            keys = [concept.key for concept in document.concepts]
            fills = canvas.current in keys and not document.mask(canvas.current).any()
            one = now.candidates[now.chosen] if now.candidates else None
            canvas.preview = Preview(
                mask=None if one is None else one.mask,
                color=keys.index(canvas.current) if fills else len(keys),
                clicks=now.clicks,
                box=now.box,
            )
            if one is not None:
                tools.found = f"{now.chosen + 1}/{len(now.candidates)} {one.source}"
        canvas.draw()


def _free_name(document: MaskDocument, words: str) -> str:
    """A name that no concept has, from the words that found it; empty: the next asset's."""
    if not words:
        return ""
    names, _ = concept_names([*(concept.name for concept in document.concepts), words])
    return names[-1]
