"""What is done to the concepts of the open picture: history, names, start words, order."""

from __future__ import annotations

from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.shell.ask import Ask


class ConceptActions:
    """Changes concepts; asks where words are needed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def undo(self) -> None:
        """One step back."""
        self._go("undo")

    def redo(self) -> None:
        """One step forth."""
        self._go("redo")

    def _go(self, what: str) -> None:
        document = self._desk.document
        if document is None:
            return
        history = document.history
        label = history.undo_label if what == "undo" else history.redo_label
        self._desk.edit(lambda doc, _key: getattr(doc, what)() and None)
        undo, redo = history.depth()
        done = f"{'took back' if what == 'undo' else 'made again'}: {label}" if label else ""
        self._desk.screen.say(f"{done or f'nothing to {what}'} ({undo} to undo, {redo} to redo)")

    def add(self) -> None:
        """Add a concept and name it."""
        document = self._desk.document
        if document is None:
            return
        position = len(document.concepts)

        def done(name: str | None) -> None:
            if name is not None:
                self._desk.edit(lambda doc, _key: doc.add(name))
                self._desk.canvas.focus()

        self._desk.screen.app.push_screen(
            Ask(
                "Name the new concept", hint=f"asset{position}",
                check=lambda name: MaskDocument(document.image, document.snapshot()).add(name),
                remark=lambda _: f"its token is <asset{position}>; a prompt may also say its "
                "name, as in <cat>",
            ),
            done,
        )  # fmt: skip

    def rename(self) -> None:
        """Rename the current concept."""
        self._desk.with_concept(self._ask_name)

    def _ask_name(self, document: MaskDocument, key: int) -> None:
        name = document.concept(key).name

        def check(text: str) -> None:
            position = [c.key for c in document.concepts].index(key)
            trial = MaskDocument(document.image[:1, :1], [
                ConceptMask(c.name, document.mask(c.key)[:1, :1]) for c in document.concepts
            ])  # fmt: skip
            trial.rename(position, text)

        def done(text: str | None) -> None:
            if text is not None:
                self._desk.edit(lambda doc, _key: doc.rename(key, text))

        self._desk.screen.app.push_screen(Ask(f"Rename {name}", name, check=check), done)

    def start_word(self) -> None:
        """Set the start word of the current concept."""
        self._desk.with_concept(self._ask_word)

    def _ask_word(self, document: MaskDocument, key: int) -> None:
        concept = document.concept(key)

        def done(text: str | None) -> None:
            if text is not None:
                self._desk.edit(lambda doc, _key: doc.set_initializer(key, text))

        self._desk.screen.app.push_screen(
            Ask(
                f"A word that {concept.name} resembles; its token starts there",
                concept.initializer, hint="none",
                remark=lambda _: "empty: the token starts from other words of the model",
            ),
            done,
        )  # fmt: skip

    def delete(self) -> None:
        """Delete the current concept."""
        self._desk.with_concept(self._delete)

    def _delete(self, document: MaskDocument, key: int) -> None:
        name = document.concept(key).name
        self._desk.edit(lambda doc, current: doc.delete(current))
        self._desk.screen.say(f"deleted {name}; u brings it back")

    def move(self, offset: int) -> None:
        """Move the current concept in the order of the tokens."""
        self._desk.with_concept(
            lambda _document, _key: self._desk.edit(lambda doc, key: doc.move(key, offset))
        )

    def discard(self) -> None:
        """Back to the masks of the files."""
        file = self._desk.file
        if file is not None:
            self._desk.edit(lambda doc, _key: doc.restore(file.concepts, "back to the files"))
            self._desk.screen.say("the masks are as their files have them; u takes that back")
