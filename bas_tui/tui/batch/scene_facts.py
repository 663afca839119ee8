"""The marked scene of a batch: its newest pictures, what it learns, why it failed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from bas_tui.tui.drawing.halfblock import Photograph, Pixels, load_picture
from engine.batch.status import Row, newest_preview


class SceneFacts(Container):
    """Picture and text about one scene."""

    class Loaded(Message):
        """A picture was read; None: there is none, or it cannot be read."""

        def __init__(self, path: Path | None, pixels: Pixels | None) -> None:
            super().__init__()
            self.path = path
            self.pixels = pixels

    def __init__(self) -> None:
        super().__init__(id="scene-facts", classes="pane")
        self.picture: Path | None = None
        """The file that is shown."""
        self._pixels: Pixels | None = None

    def compose(self) -> ComposeResult:
        """Picture and text."""
        yield Photograph(id="scene-picture")
        yield Static(id="scene-text")

    def show(self, row: Row | None) -> None:
        """Show a scene; its picture is read off the event loop."""
        self.border_title = row.scene.name if row is not None else "Scene"
        self.query_one("#scene-text", Static).update(_text(row) if row is not None else "")
        self.run_worker(partial(self._load, row), thread=True, exclusive=True)

    def _load(self, row: Row | None) -> None:
        path = None
        if row is not None:
            photo = row.scene.run.scene / "image.png"
            path = newest_preview(row.scene) or (photo if photo.is_file() else None)
        # A preview never changes once it has its name.
        pixels = self._pixels if path == self.picture else load_picture(path) if path else None
        if not get_current_worker().is_cancelled:
            self.post_message(self.Loaded(path, pixels))

    def on_scene_facts_loaded(self, event: Loaded) -> None:
        """Show it."""
        event.stop()
        if event.path != self.picture or self._pixels is None:
            self.picture, self._pixels = event.path, event.pixels
            self.draw()

    def on_resize(self) -> None:
        """Scale the picture to the new size."""
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Paint the picture."""
        self.query_one(Photograph).show(self._pixels)


def _text(row: Row) -> Content:
    lines = [
        Content(f"{row.state} · step {row.step} of {row.total_steps}"),
        Content.styled(f"run {row.scene.run_name}", "$faint"),
        Content.styled(f"from {row.scene.source}", "$faint"),
    ]
    if row.message:
        lines.insert(1, Content.styled(row.message, "$error"))
    return Content("\n").join(lines)
