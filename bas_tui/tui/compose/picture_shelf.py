"""The pictures of every run that was opened here, as the gallery shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from textual.message import Message

from bas_tui.tui.compose.gallery import Tile
from bas_tui.tui.shell.picture_files import Known, Picture, list_pictures
from engine.runs.folder import RunDir


class PictureShelf:
    """Pictures by run, newest first; the run that is used now comes first."""

    class Found(Message):
        """A run's folder was read; `opened`: because the run was chosen, else it had changed."""

        def __init__(self, run: RunDir, pictures: list[Picture], opened: bool) -> None:
            super().__init__()
            self.run = run
            self.pictures = pictures
            self.opened = opened

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._pictures: dict[str, list[Picture]] = {}
        self._known: Known = {}
        self._seen: dict[str, int | None] = {}
        """When each run's folder had changed last as it was read."""

    @property
    def runs(self) -> int:
        """How many runs have pictures here."""
        return sum(bool(pictures) for pictures in self._pictures.values())

    def read(self, run: RunDir) -> None:
        """Read a run's folder in a thread; `Found` tells what is there."""
        self._read(run, opened=True)

    def look(self, run: RunDir) -> None:
        """Read it again where somebody else has drawn or deleted: `Found` tells of it."""
        if run.name in self._seen and _changed(run) != self._seen[run.name]:
            self._read(run, opened=False)

    def _read(self, run: RunDir, *, opened: bool) -> None:
        # Before its files are listed: what comes meanwhile is a change.
        self._seen[run.name] = _changed(run)

        def work() -> None:
            self._post(self.Found(run, list_pictures(run, self._known), opened))

        threading.Thread(target=work, name=f"pictures-{run.name}", daemon=True).start()

    def out_of_date(self, run: RunDir) -> bool:
        """Whether the folder has changed again since it was read: the next `look` reads it."""
        return _changed(run) != self._seen.get(run.name)

    def follow(self, run: RunDir, pictures: Sequence[Picture]) -> int:
        """These are a run's pictures by now; how many are new here."""
        before = {picture.path for picture in self._pictures.get(run.name, [])}
        self._pictures[run.name] = list(pictures)
        return sum(picture.path not in before for picture in pictures)

    def put_first(self, run: RunDir, pictures: Sequence[Picture]) -> None:
        """These are a run's pictures; it is the one used now."""
        others = {name: found for name, found in self._pictures.items() if name != run.name}
        self._pictures = {run.name: list(pictures), **others}

    def add(self, run: RunDir, pictures: Sequence[Picture]) -> None:
        """New pictures of a run."""
        paths = {picture.path for picture in pictures}
        others = [old for old in self._pictures.get(run.name, []) if old.path not in paths]
        self._pictures[run.name] = [*pictures, *others]

    def remove(self, picture: Picture) -> None:
        """A picture's file is gone."""
        for name, pictures in self._pictures.items():
            self._pictures[name] = [old for old in pictures if old.path != picture.path]

    def tiles(self, fresh: Sequence[Tile] = ()) -> list[Tile]:
        """Those of a drawing under way (`fresh`), then all others."""
        shown = {tile.path for tile in fresh}
        pictures = [picture for found in self._pictures.values() for picture in found]
        return [*fresh, *(Tile(picture) for picture in pictures if picture.path not in shown)]


def _changed(run: RunDir) -> int | None:
    try:
        return run.pictures.stat().st_mtime_ns
    except OSError:
        return None
