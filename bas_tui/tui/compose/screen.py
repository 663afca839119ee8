"""The Compose screen: prompts over learned tokens, and the pictures they give."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input

from bas_tui import client
from bas_tui.tui.compose.drawing_queue import DrawingQueue
from bas_tui.tui.compose.drawing_state import Drawing
from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.keys import KEYS
from bas_tui.tui.compose.picture_actions import PictureActions
from bas_tui.tui.compose.picture_shelf import PictureShelf
from bas_tui.tui.compose.progress_line import ProgressLine
from bas_tui.tui.compose.prompt_input import PromptInput
from bas_tui.tui.compose.prompt_pane import PromptPane
from bas_tui.tui.compose.prompt_settings import DrawSettings, PromptSettings
from bas_tui.tui.compose.run_chooser import RunChooser
from bas_tui.tui.compose.wall import Wall
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.picture_files import Picture
from bas_tui.tui.shell.screen import BasScreen
from bas_tui.tui.shell.short_path import short_path
from engine.core.errors import BasError
from engine.models.device_guess import guess_device
from engine.runs.events import GenerationStarted, Notice
from engine.runs.folder import RunDir
from engine.runs.library import find_run

LOOK_SECONDS = 1.0
"""Between two looks at whether another program has drawn into the run's folder."""


class ComposeScreen(BasScreen):
    """Puts the parts together: what is asked for, what is drawn, what there is."""

    SCOPE = "compose"
    HELP_TEXT = (
        "Draw the learned things anew. The prompt names them by token or by name, in any words; "
        "the numbers put tokens in. Pictures lie in the run's folder and carry their recipe."
    )
    CSS_PATH = "compose.tcss"
    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "compose"))

    def __init__(self) -> None:
        super().__init__()
        self.runs = RunChooser(self)
        self.queue = DrawingQueue(self.post_message, lambda: self.bas.drawing.generator())
        self.shelf = PictureShelf(self.post_message)
        self._actions = PictureActions(self, self._removed)

    def compose_body(self) -> Iterable[Widget]:
        """Prompts over the line of progress over the gallery."""
        yield PromptPane(placing=True)
        yield ProgressLine()
        yield Wall(self)

    @property
    def prompts(self) -> PromptPane:
        """What is asked for."""
        return self.query_one(PromptPane)

    @property
    def wall(self) -> Wall:
        """Pictures, and where things are to stand."""
        return self.query_one(Wall)

    @property
    def gallery(self) -> Gallery:
        """What there is."""
        return self.query_one(Gallery)

    def on_mount(self) -> None:
        """The settings of last time."""
        try:
            record = json.loads(self.bas.prefs.compose or "{}")
            count = int(record.get("count", 4))
        except (ValueError, AttributeError, TypeError):
            count = 4
        self.prompts.settings.settings = DrawSettings(count=max(1, min(64, count)))
        self.set_interval(LOOK_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Somebody may have drawn meanwhile."""
        self._look()

    def _look(self) -> None:
        if self.runs.run is not None and self.is_current:
            self.shelf.look(self.runs.run)

    def on_unmount(self) -> None:
        """Nobody is told of a drawing any more."""
        self.queue.close()

    def on_screen_suspend(self) -> None:
        """Remember the count."""
        count = self.prompts.settings.settings.count
        self.bas.remember(compose=json.dumps({"count": count}))

    # Whose tokens

    def open_default(self) -> None:
        """Without a run, take the last one."""
        if self.runs.run is None:
            try:
                self.runs.use_last()
            except BasError as error:
                self.prompts.hint(f"{error.message} - {error.remedy}", error=True)

    def open(self, **arguments: Any) -> None:
        """`run`: a name, a folder or a RunDir."""
        run = arguments.get("run")
        if run:
            try:
                self.runs.use(run if isinstance(run, RunDir) else find_run(str(run)))
            except BasError as error:
                self.bas.show_error(error)

    def folder(self) -> Path | None:
        """The run's."""
        return self.runs.run.path if self.runs.run is not None else None

    def leads_to(self, name: str) -> dict[str, Any]:
        """The run in use; its chosen picture, while the pictures have the focus, to be edited."""
        run = self.runs.run
        if run is None:
            return {}
        edit: dict[str, Any] = {"run": run}
        if self.gallery.has_focus and (picture := self.gallery.current) is not None:
            edit["photo"] = picture.path
        return {"train": {"run": run}, "scene": {"scene": run.scene}, "edit": edit}.get(name, {})

    def action_pick_run(self) -> None:
        """Choose a run."""
        self.runs.ask()

    @on(RunChooser.Chosen)
    def _run_chosen(self, event: RunChooser.Chosen) -> None:
        run, manifest = self.runs.run, self.runs.manifest
        if run is not None and manifest is not None:
            self.prompts.use(run, manifest)
            self.wall.places.use(run, manifest)
            self._show_header()
            self.shelf.read(run)
            if event.asked:
                self.set_focus(self.prompts.prompt)

    @on(PictureShelf.Found)
    def _pictures_found(self, event: PictureShelf.Found) -> None:
        if event.opened:
            self.shelf.put_first(event.run, event.pictures)
            self._show_gallery()
            self.gallery.action_move_to(0)
            return
        if self.shelf.out_of_date(event.run):
            return
        fresh = self.shelf.follow(event.run, event.pictures)
        self._show_gallery()
        # While this window draws, what is new may be its own, not told yet.
        if fresh and self.queue.current is None:
            self.say("a picture was drawn elsewhere" if fresh == 1 else
                     f"{fresh} pictures were drawn elsewhere")  # fmt: skip

    # Drawing

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_generate()

    def action_generate(self) -> None:
        """Draw the prompt."""
        if self.runs.run is None:
            self.say("no run is chosen: press r", "warning")
            return
        if self.queue.current is not None:
            self.say("a drawing is under way: ctrl+x cancels it", "warning")
            return
        try:
            request = self.prompts.request(
                step_previews=not self.bas.terminal.low_bandwidth,
                places=self.wall.places.wanted(), loose=self.wall.places.loose,
            )  # fmt: skip
        except BasError as error:
            self.bas.show_error(error)
            return
        self.queue.start(request)
        if unnamed := client.unnamed_places(request):
            self.say(f"{unnamed} - name it or leave it out (D)", "warning")
        self._show_drawing()
        # The gallery stays at the picture that was chosen; the new ones are what one waits for.
        self.gallery.action_move_to(0)

    def action_add(self) -> None:
        """Draw with another file or run, too, or without one again."""
        if self.runs.run is None:
            self.say("no run is chosen: press r", "warning")
        else:
            self.prompts.add()

    def action_place(self) -> None:
        """Begin with things at their places, or with noise alone."""
        if self.runs.run is None:
            self.say("no run is chosen: press r", "warning")
            return
        self.wall.toggle()

    def under_way(self) -> str:
        """The drawing."""
        drawing = self.queue.current
        return drawing.request.prompt if drawing is not None and not drawing.cancelling else ""

    def cancel(self) -> None:
        """Stop drawing."""
        self.queue.cancel()
        self._show_progress()

    @on(DrawingQueue.Drawn)
    def _drawn(self, event: DrawingQueue.Drawn) -> None:
        drawing = self.queue.take(event)
        if drawing is None:
            return
        if isinstance(event.event, GenerationStarted):
            settings = self.prompts.settings
            settings.settings = dataclasses.replace(settings.settings, seed=event.event.seed)
        if isinstance(event.event, Notice) and event.event.level != "info":
            self.say(f"{event.event.message} - {event.event.remedy}".rstrip(" -"), "warning")
        if drawing.ended is not None:
            self._ended(drawing)
            return
        fresh = [tile.path for tile in drawing.tiles()]
        if fresh != [tile.path for tile in self.gallery.tiles[: len(fresh)]]:
            self._show_gallery()
        self._show_progress()

    @on(DrawingQueue.CouldNotDraw)
    def _could_not_draw(self, event: DrawingQueue.CouldNotDraw) -> None:
        if self.queue.give_up(event):
            self._show_drawing()
            self.bas.show_error(event.error)

    def _ended(self, drawing: Drawing) -> None:
        fresh = [drawing.saved[index] for index in sorted(drawing.saved)]
        self.shelf.add(drawing.request.run, fresh)
        self._show_drawing()
        ended = drawing.ended
        assert ended is not None
        if ended.outcome == "failed":
            self.bas.show_error(BasError(ended.message, ended.remedy))
        elif ended.outcome == "cancelled":
            self.say(f"cancelled; {len(fresh)} finished pictures stay")
        else:
            plural = "picture" if len(fresh) == 1 else "pictures"
            self.say(f"{len(fresh)} {plural} in {short_path(drawing.request.out)}")

    def _show_drawing(self) -> None:
        self.prompts.settings.busy = self.queue.current is not None
        self.app.refresh_bindings()
        self._show_header()
        self._show_gallery()
        self._show_progress()

    def _show_header(self) -> None:
        run, manifest = self.runs.run, self.runs.manifest
        self.header = HeaderInfo(
            run=run.name if run else "",
            base=Path(manifest.base).name if manifest else "",
            device=guess_device().kind,
            state="drawing" if self.queue.current is not None else "",
        )

    def _show_gallery(self) -> None:
        drawing = self.queue.current
        tiles = self.shelf.tiles(drawing.tiles() if drawing is not None else ())
        self.gallery.show(tiles, runs=max(1, self.shelf.runs))

    def _show_progress(self) -> None:
        self.query_one(ProgressLine).show(self.queue.current, self.gallery)

    # Writing

    def action_token(self, index: int) -> None:
        """A token into the prompt."""
        if not self.prompts.insert_token(index):
            self.say(f"there is no token {index + 1}", "warning")

    def action_lock_seed(self) -> None:
        """Lock or free the seed."""
        self.prompts.settings.action_lock_seed()

    def action_new_seed(self) -> None:
        """A random seed, locked."""
        self.prompts.settings.action_new_seed()

    @on(PromptSettings.Note)
    def _noted(self, event: PromptSettings.Note) -> None:
        self.say(event.text)

    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self.set_focus(self.gallery if self.gallery.tiles else self.prompts.settings)

    def action_focus_on(self, part: str) -> None:
        """To a part of the screen."""
        if self.gallery.mode != "all":
            self.gallery.action_back()
            self.set_class(False, "-pictures")
        # Not `focus()`, which waits for the next turn: the next key may be here already.
        self.set_focus(self.query_one(f"#{part}"))

    # Pictures

    @on(Gallery.Chosen)
    def _chosen(self) -> None:
        # One large picture or a comparison gets the room of the prompt as well.
        self.set_class(self.gallery.mode != "all", "-pictures")
        self._show_progress()

    def _with_picture(self, act: Callable[[Picture], object]) -> None:
        picture = self.gallery.current
        if picture is None:
            self.say("no picture is chosen", "warning")
        else:
            act(picture)

    def action_reuse(self) -> None:
        """Take over a picture's settings."""
        self._with_picture(self._reuse)

    def _reuse(self, picture: Picture) -> None:
        recipe, run = picture.recipe, self.runs.run
        if recipe.run and (run is None or recipe.run != run.name):
            try:
                self.runs.use(find_run(recipe.run))
            except BasError as error:
                self.bas.show_error(error)
        added = self.prompts.take_over(picture)
        self.wall.take_over(recipe)
        self.say(f"took over prompt, seed, steps, guidance{added}; enter draws it")
        self.action_focus_on("prompt")

    def action_save_as(self) -> None:
        """Copy a picture to a file."""
        self._with_picture(self._actions.save_as)

    def action_delete_picture(self) -> None:
        """Delete a picture's file."""
        self._with_picture(self._actions.delete)

    def _removed(self, picture: Picture) -> None:
        self.shelf.remove(picture)
        self._show_gallery()
        self._show_progress()

    def action_copy_prompt(self) -> None:
        """Copy a picture's prompt."""
        self._with_picture(self._actions.copy_prompt)

    def action_copy(self) -> None:
        """Copy the command of the picture, or of the prompt."""
        picture = self.gallery.current if self.gallery.has_focus else None
        if picture is not None:
            self.bas.copy(picture.command())
        elif values := self.command_values():
            self.bas.copy(f"bas gen {values['prompt']} --run {values['run']}{values['options']}")

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        if self.runs.run is None:
            return {}
        values = {"run": shlex.quote(self.runs.run.name), **self.prompts.command_values()}
        values["options"] += self.wall.places.options()
        if picture := self.gallery.current:
            values["picture_command"] = picture.command()
        return values

    # View

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self.gallery.draw()
        self.wall.places.draw()

    def reset_view(self) -> None:
        """All pictures at the default size."""
        gallery = self.gallery
        gallery.mode, gallery.marked = "all", []
        gallery.action_size(0)
        self.prompts.settings.settings = DrawSettings()
