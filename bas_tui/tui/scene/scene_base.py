"""What the parts of the Scene screen share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.timer import Timer

from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.photo_file import SceneFile
from bas_tui.tui.scene.plan_panel import PlanPanel
from bas_tui.tui.scene.training_view import Inspection
from bas_tui.tui.shell.screen import BasScreen
from engine.core.errors import BasError
from engine.models.plan import StepTimes


class SceneBase(BasScreen):
    """The open picture, its document, and the one way to change it."""

    def __init__(self) -> None:
        super().__init__()
        self.file: SceneFile | None = None
        self.document: MaskDocument | None = None
        self.inspection: Inspection | None = None
        self.save_folder: Path | None = None
        """Where `save` writes without asking again."""
        self.own_files: list[str] = []
        self._past: dict[str, StepTimes | None] = {}
        self._autosave: Timer | None = None
        self._inspect_timer: Timer | None = None

    @property
    def canvas(self) -> MaskCanvas:
        return self.query_one(MaskCanvas)

    @property
    def panel(self) -> PlanPanel:
        return self.query_one(PlanPanel)

    def edit(self, change: Callable[[MaskDocument, int], object]) -> bool:
        """Change the document's current concept; a user's mistake is said, not raised."""
        document = self.document
        if document is None:
            return False
        self.canvas.lift()
        try:
            result = change(document, self.canvas.current)
        except BasError as error:
            self.bas.show_error(error)
            return False
        keys = [concept.key for concept in document.concepts]
        if isinstance(result, int) and result in keys:
            self.canvas.current = result
        elif self.canvas.current not in keys:
            self.canvas.current = keys[-1] if keys else 0
        self.canvas.changed()
        self.changed()
        return True

    def _has_concept(self) -> bool:
        if self.document is not None and self.document.concepts:
            return True
        self.say("there is no concept yet: paint on the picture, or press n", "warning")
        return False

    def changed(self) -> None:
        """The document has another state."""
        raise NotImplementedError

    def show_all(self) -> None:
        """Everything anew: another picture."""
        raise NotImplementedError

    def inspect_now(self) -> None:
        """Checks and legend."""
        raise NotImplementedError

    def show_header(self) -> None:
        """The line on top."""
        raise NotImplementedError
