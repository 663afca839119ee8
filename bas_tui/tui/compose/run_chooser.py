"""Whose tokens are used: the run of last time, one that is named, one from a list."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message

from bas_tui import client
from bas_tui.tui.shell.ask import Ask
from bas_tui.tui.shell.screen import BasScreen
from engine.core.errors import BasError, UserError
from engine.runs.folder import RunDir
from engine.runs.library import find_learned_run, find_run, list_runs
from engine.runs.manifest import Manifest, read_manifest

MOST = 30
"""Runs in the list."""


class RunChooser:
    """Knows the run in use; posts `Chosen` when it is another one."""

    class Chosen(Message):
        """Another run is used, or the same one is opened anew."""

        def __init__(self, asked: bool) -> None:
            super().__init__()
            self.asked = asked
            """Whether the person was asked for it."""

    def __init__(self, screen: BasScreen) -> None:
        self._screen = screen
        self.run: RunDir | None = None
        self.manifest: Manifest | None = None

    def use(self, run: RunDir, *, asked: bool = False) -> None:
        """Take a run's tokens. Raises UserError where it cannot be read."""
        manifest = read_manifest(run)
        self.run, self.manifest = run, manifest
        self._screen.bas.remember(last_run=run.name)
        self._screen.post_message(self.Chosen(asked))

    def use_last(self) -> None:
        """The run of last time, else the newest that has learned something.

        Raises UserError where there is none.
        """
        try:
            self.use(find_learned_run(self._screen.bas.prefs.last_run or None))
        except BasError:
            self.use(find_learned_run(None))

    def ask(self) -> None:
        """Let the person choose among the runs that have learned something."""

        def done(name: str | None) -> None:
            if name:
                self.use(find_run(name.strip()), asked=True)

        self._screen.app.push_screen(
            Ask(
                "Whose tokens? Pictures of the other runs stay to compare",
                hint="name of a run", check=lambda name: read_manifest(find_run(name.strip())),
                choices=_learned_runs,
            ),
            done,
        )  # fmt: skip


def _learned_runs() -> list[tuple[str, str]]:
    """Choices of the dialog. Raises UserError where there are none."""
    choices: list[tuple[str, str]] = []
    for run in list_runs()[:MOST]:
        try:
            manifest = read_manifest(run)
            client.check_learned(run)
        except BasError:
            continue
        names = ", ".join(concept.name for concept in manifest.concepts)
        choices.append((f"{run.name}   {names}   ({Path(manifest.base).name})", run.name))
    if not choices:
        raise UserError("no run has learned anything yet", "train one first")
    return choices
