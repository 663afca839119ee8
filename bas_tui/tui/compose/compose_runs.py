"""Compose screen: whose tokens are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual import work
from textual.content import Content
from textual.widgets import Static

from bas_tui import client
from bas_tui.machine.device_guess import guess_device
from bas_tui.tui.compose.compose_base import ComposeBase
from bas_tui.tui.compose.picture_files import Picture, list_pictures
from bas_tui.tui.compose.prompt_editing import read_history
from bas_tui.tui.compose.prompt_input import PromptInput, TokenChips
from bas_tui.tui.compose.prompt_settings import DrawSettings, PromptSettings
from bas_tui.tui.shell.ask import Ask
from bas_tui.tui.shell.header import HeaderInfo
from engine.core.errors import BasError, UserError
from engine.core.settings import build_config
from engine.runs.folder import RunDir
from engine.runs.library import find_run, list_runs
from engine.runs.manifest import read_manifest


class RunActions(ComposeBase):
    """Opens runs; the pictures of each stay in the gallery."""

    def on_screen_resume(self) -> None:
        """Without a run, take the last one."""
        if self.run_dir is None:
            self.set_timer(0.3, self._take_last_run)

    def _take_last_run(self) -> None:
        if self.run_dir is not None:
            return
        try:
            self.use_run(find_run(self.bas.prefs.last_run or None))
        except BasError:
            try:
                self.use_run(find_run(None))
            except BasError as error:
                self.hint(f"{error.message} - {error.remedy}", error=True)

    def open(self, **arguments: Any) -> None:
        """`run`: a name, a folder or a RunDir."""
        run = arguments.get("run")
        if run:
            try:
                self.use_run(run if isinstance(run, RunDir) else find_run(str(run)))
            except BasError as error:
                self.bas.show_error(error)

    def use_run(self, run: RunDir) -> None:
        """Take a run's tokens; the pictures of the others stay. Raises UserError."""
        manifest = read_manifest(run)
        self.run_dir, self.manifest = run, manifest
        for line in self.query(PromptInput):
            line.concepts = manifest.concepts
        prompt = self.prompt
        prompt.history = read_history(run)
        if not prompt.value:
            tokens = " and ".join(concept.token for concept in manifest.concepts)
            prompt.placeholder = f"a photo of {tokens} in the snow"
        chips = self.query_one(TokenChips)
        chips.concepts, chips.run = manifest.concepts, run.name
        try:
            sampling = build_config(manifest.settings).sampling
            own = DrawSettings(steps=sampling.steps, guidance=sampling.guidance)
        except UserError:
            own = DrawSettings()
        self.query_one(PromptSettings).own = own
        self.bas.remember(last_run=run.name)
        self.show_header()
        self.check_prompt()
        self._read_pictures(run)

    @work(thread=True, group="pictures", exit_on_error=False)
    def _read_pictures(self, run: RunDir) -> None:
        pictures = list_pictures(run)
        self.app.call_from_thread(self._have_pictures, run, pictures)

    def _have_pictures(self, run: RunDir, pictures: list[Picture]) -> None:
        # The run that is used now comes first.
        others = {name: found for name, found in self.pictures.items() if name != run.name}
        self.pictures = {run.name: pictures, **others}
        self.show_gallery()
        self.gallery.action_move_to(0)

    def action_pick_run(self) -> None:
        """Choose a run."""
        choices: list[tuple[str, str]] = []
        for run in list_runs()[:30]:
            try:
                manifest = read_manifest(run)
                client.check_learned(run)
            except BasError:
                continue
            names = ", ".join(concept.name for concept in manifest.concepts)
            choices.append((f"{run.name}   {names}   ({Path(manifest.base).name})", run.name))
        if not choices:
            self.say("no run has learned anything yet: train one first", "warning")
            return

        def done(name: str | None) -> None:
            if name:
                self.use_run(find_run(name.strip()))
                self.prompt.focus()

        self.app.push_screen(
            Ask(
                "Whose tokens? Pictures of the other runs stay to compare",
                hint="name of a run", check=lambda name: read_manifest(find_run(name.strip())),
                choices=choices,
            ),
            done,
        )  # fmt: skip

    def show_header(self) -> None:
        manifest = self.manifest
        base = Path(manifest.base).name if manifest else ""
        name = self.run_dir.name if self.run_dir else ""
        state = "drawing" if self.drawing is not None else ""
        self.header = HeaderInfo(run=name, base=base, device=guess_device().kind, state=state)

    def hint(self, text: str | Content, *, error: bool = False) -> None:
        hint = self.query_one("#hint", Static)
        hint.update(text if isinstance(text, Content) else Content(text))
        hint.set_class(error, "-error")
