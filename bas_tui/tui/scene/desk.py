"""The open picture, its masks, and the one way to change them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.photo_file import SceneFile
from bas_tui.tui.shell.screen import BasScreen
from engine.core.errors import BasError


class Desk:
    """What lies open on a screen with a `MaskCanvas`; its parts share it."""

    def __init__(self, screen: BasScreen, changed: Callable[[], None]) -> None:
        """`changed` is called after every change of the document."""
        self.screen = screen
        self.changed = changed
        self.file: SceneFile | None = None
        self.document: MaskDocument | None = None

    @property
    def canvas(self) -> MaskCanvas:
        """Where the masks are seen and painted."""
        return self.screen.query_one(MaskCanvas)

    def put(self, file: SceneFile) -> MaskDocument:
        """Lay a picture with the masks of its files on the desk."""
        self.file, document = file, MaskDocument(file.image, file.concepts)
        self.document = document
        self.canvas.load(document, document.concepts[0].key if document.concepts else 0)
        if not document.concepts:
            # On a bare photo the first wish is to find things.
            self.canvas.action_tool("find")
        return document

    def edit(self, change: Callable[[MaskDocument, int], object]) -> bool:
        """Change the document's current concept; a user's mistake is said, not raised."""
        document = self.document
        if document is None:
            return False
        self.canvas.lift()
        try:
            result = change(document, self.canvas.current)
        except BasError as error:
            self.screen.bas.show_error(error)
            return False
        keys = [concept.key for concept in document.concepts]
        if isinstance(result, int) and result in keys:
            self.canvas.current = result
        elif self.canvas.current not in keys:
            self.canvas.current = keys[-1] if keys else 0
        self.canvas.changed()
        self.changed()
        return True

    def reset_view(self) -> None:
        """The whole picture, masks as tint."""
        canvas = self.canvas
        canvas.state = dataclasses.replace(canvas.state, overlay="tint")
        if canvas.view is not None and canvas.view.zoom:
            canvas.action_zoom_fit()
        canvas.changed()

    def with_concept(self, act: Callable[[MaskDocument, int], object]) -> None:
        """Do something with the document and its current concept, or say that there is none."""
        if self.document is not None and self.document.concepts:
            act(self.document, self.canvas.current)
        else:
            self.screen.say("there is no concept yet: click on a thing (d), or press n", "warning")
