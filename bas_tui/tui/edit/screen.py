"""The Edit screen: a photo, regions painted on it, what to draw there, and the candidates."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input

from bas_tui.tui.compose.gallery import Gallery
from bas_tui.tui.compose.picture_actions import PictureActions
from bas_tui.tui.compose.progress_line import ProgressLine
from bas_tui.tui.compose.prompt_input import PromptInput
from bas_tui.tui.compose.prompt_pane import PromptPane
from bas_tui.tui.compose.prompt_settings import PromptSettings
from bas_tui.tui.compose.run_chooser import RunChooser
from bas_tui.tui.drawing.mask_render import OVERLAY_HELP
from bas_tui.tui.edit.before_after import BeforeAfter
from bas_tui.tui.edit.candidates import Candidates
from bas_tui.tui.edit.easel import Easel
from bas_tui.tui.edit.keys import KEYS
from bas_tui.tui.edit.photo_opener import PhotoOpener
from bas_tui.tui.edit.region_desk import RegionDesk
from bas_tui.tui.edit.region_drafts import RegionDrafts
from bas_tui.tui.edit.region_list import RegionList
from bas_tui.tui.edit.regions import into_the_region
from bas_tui.tui.scene.canvas_messages import Edited
from bas_tui.tui.scene.concept_actions import ConceptActions
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.thing_search import ThingSearch
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.picture_files import Picture
from bas_tui.tui.shell.screen import BasScreen
from engine.core.errors import BasError
from engine.models.device_guess import guess_device
from engine.runs.folder import RunDir
from engine.runs.library import find_run


class EditScreen(BasScreen):
    """Puts the parts together: a photo on a desk, regions and their prompts, what is drawn."""

    SCOPE = "edit"
    HELP_TEXT = (
        "Learned things drawn into a photo. Paint where it may change, say what to draw there, and "
        "press ctrl+g. Outside the regions the photo stays as it is, to the pixel, and its file is "
        "never changed: candidates lie in the run's folder. Several regions are drawn one after "
        "another; a shows a candidate in the photo's place."
    )
    CSS_PATH = "edit.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "edit"))

    def __init__(self) -> None:
        super().__init__()
        self.runs = RunChooser(self)
        self.desk = Desk(self, self._changed)
        self.regions = RegionDesk(self.desk)
        self._drafts = RegionDrafts(self.desk, self.regions)
        self.flip = BeforeAfter(self.desk)
        self._steps = ConceptActions(self.desk)
        self._photos = PhotoOpener(self.desk, self._drafts, self._photo_opened)
        self._actions = PictureActions(self, lambda picture: self.candidates.removed(picture))

    def compose_body(self) -> Iterable[Widget]:
        """Prompt over the line of progress; the photo at the left, regions and candidates right."""
        yield PromptPane(into_the_region, draw_key="^g", add_key="I")
        yield ProgressLine()
        with Horizontal(id="body"):
            yield Easel(self.desk)
            with Vertical(id="side"):
                yield RegionList()
                yield Candidates(self.desk)

    @property
    def canvas(self) -> MaskCanvas:
        """The photo."""
        return self.desk.canvas

    @property
    def things(self) -> ThingSearch:
        """What is found on it."""
        return self.query_one(Easel).things

    @property
    def prompts(self) -> PromptPane:
        """What is asked for in the current region."""
        return self.query_one(PromptPane)

    @property
    def candidates(self) -> Candidates:
        """What was drawn."""
        return self.query_one(Candidates)

    @property
    def gallery(self) -> Gallery:
        """Its tiles."""
        return self.query_one(Gallery)

    def on_mount(self) -> None:
        """The keys of the canvas first."""
        self.canvas.focus()

    # Whose tokens, which photo

    def open_default(self) -> None:
        """The run of last time, and a photo to be chosen, where there are none yet."""
        if self.runs.run is None:
            try:
                self.runs.use_last()
            except BasError as error:
                self.prompts.hint(f"{error.message} - {error.remedy}", error=True)
        if self.desk.file is None and self.app.screen is self:
            self._photos.ask()

    def open(self, **arguments: Any) -> None:
        """`run`: a name, a folder or a RunDir; `photo`: a path."""
        if run := arguments.get("run"):
            try:
                self.runs.use(run if isinstance(run, RunDir) else find_run(str(run)))
            except BasError as error:
                self.bas.show_error(error)
        if photo := arguments.get("photo"):
            self._photos.open_path(Path(photo))
        self.open_default()

    def folder(self) -> Path | None:
        """The run's."""
        return self.runs.run.path if self.runs.run is not None else None

    def leads_to(self, name: str) -> dict[str, Any]:
        """The run in use; the photo as a scene to learn from."""
        file = self.desk.file
        if name == "scene":
            return {"scene": file.photo} if file is not None else {}
        return {"run": run} if (run := self.runs.run) and name in ("train", "compose") else {}

    def unsaved(self) -> str:
        """Regions are kept for the next time, so nothing is lost unless that fails."""
        return "" if self._drafts.keep_now() else "regions (they could not be kept: disk full?)"

    def on_unmount(self) -> None:
        """Keep what was painted a moment ago."""
        self._drafts.keep_now()

    def action_pick_run(self) -> None:
        """Choose a run."""
        self.runs.ask()

    def action_open_photo(self) -> None:
        """Ask for a photo."""
        self._photos.ask()

    @on(RunChooser.Chosen)
    def _run_chosen(self) -> None:
        run, manifest = self.runs.run, self.runs.manifest
        if run is not None and manifest is not None:
            self.regions.store_prompt()
            self.regions.prompts.use(manifest.concepts)
            self.prompts.use(run, manifest)
            self.candidates.shelf.read(run)
            self.regions.show()
            self._show_header()

    def _photo_opened(self) -> None:
        self.things.drop()
        self.regions.clear()
        self.candidates.reset()
        self.set_focus(self.canvas)
        self.say(self._drafts.restore())
        self.regions.show()
        self._show_header()
        self.candidates.show()

    # Regions

    def _changed(self) -> None:
        """The document has another state."""
        self.flip.show_photo()
        self.regions.show()
        self._drafts.keep_soon()
        self._show_header()

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        # A stroke under way changes nothing but the photo's tint.
        (self._changed if event.done else self.flip.show_photo)()

    @on(ThingSearch.Answered)
    def _things_answered(self, event: ThingSearch.Answered) -> None:
        self.things.answered(event)

    def action_thing(self, what: str) -> None:
        """`take`, `another` or `drop`: what becomes of the thing that was found."""
        getattr(self.things, what)()

    @on(RegionList.Chosen)
    def _region_chosen(self, event: RegionList.Chosen) -> None:
        self.regions.choose(event.key)

    def action_cycle(self, steps: int) -> None:
        """Next or previous region."""
        self.regions.cycle(steps)

    def action_new_region(self) -> None:
        """Another region."""
        self.regions.add()

    def action_delete_region(self) -> None:
        """Delete the current region."""
        self.regions.delete()

    def action_change(self, what: str, steps: int) -> None:
        """`keep`: of what is there; `decoder`: how long it is fitted to the photo."""
        getattr(self.regions, f"change_{what}")(steps)

    def action_undo(self) -> None:
        """One step back; of a thing that is being found its last click."""
        if not self.things.step_back():
            self._steps.undo()

    def action_redo(self) -> None:
        """One step forth."""
        self._steps.redo()

    def action_canvas(self, action: str, *values: Any) -> None:
        """A click on the tool bar."""
        self.set_focus(self.canvas)
        getattr(self.canvas, f"action_{action}")(*values)

    def action_overlay(self) -> None:
        """Next way to show regions."""
        self.say(OVERLAY_HELP[self.canvas.next_overlay()])

    # Prompts

    def action_write(self) -> None:
        """To the prompt of the current region."""
        document = self.desk.document
        if document is not None and not document.concepts:
            self.say("paint a region first, or press n", "warning")
            return
        self.action_focus_on("prompt")

    def action_token(self, index: int) -> None:
        """A token into the prompt of the current region."""
        if self.regions.current < 0:
            self.say("paint a region first, or press n", "warning")
        elif not self.prompts.insert_token(index):
            self.say(f"there is no token {index + 1}", "warning")

    def action_add(self) -> None:
        """Draw with another file or run, too, or without one again."""
        self.prompts.add()

    @on(Input.Changed, "#prompt")
    def _typed(self) -> None:
        self.regions.show()
        self._drafts.keep_soon()

    @on(PromptInput.Left)
    def _left_prompt(self) -> None:
        self.set_focus(self.canvas)

    @on(PromptSettings.Note)
    def _noted(self, event: PromptSettings.Note) -> None:
        self.say(event.text)

    def action_focus_on(self, part: str) -> None:
        """To a part of the screen."""
        if self.gallery.mode != "all" and part != "gallery":
            self.gallery.action_back()
            self.set_class(False, "-pictures")
        self.set_focus(self.query_one(f"#{part}"))

    # Drawing

    @on(Input.Submitted)
    def action_generate(self) -> None:
        """Draw every region."""
        file, document, run = self.desk.file, self.desk.document, self.runs.run
        if run is None:
            self.say("no run is chosen: press r", "warning")
        elif file is None or document is None:
            self.say("no photo is open: press O", "warning")
        elif self.candidates.queue.current is not None:
            self.say("a drawing is under way: ctrl+x cancels it", "warning")
        else:
            self.canvas.lift()
            previews = not self.bas.terminal.low_bandwidth
            try:
                edit = self.regions.asked(file, document, run)
                request = self.prompts.request(step_previews=previews, edit=edit)
            except BasError as error:
                self.bas.show_error(error)
                return
            document.history.mark_saved()
            self.candidates.start(request)

    def under_way(self) -> str:
        """The drawing."""
        drawing = self.candidates.queue.current
        return drawing.request.prompt if drawing is not None and not drawing.cancelling else ""

    def cancel(self) -> None:
        """Stop drawing."""
        self.candidates.cancel()

    # Candidates

    @on(Gallery.Chosen)
    def _chosen(self) -> None:
        self.set_class(self.gallery.mode != "all", "-pictures")
        self.candidates.show_progress()
        if self.flip.flipped and (picture := self.gallery.current) is not None:
            self.flip.show(picture)

    def action_flip(self) -> None:
        """The candidate in the photo's place, or the photo again."""
        self.gallery.action_back()
        if self.flip.flipped:
            self.flip.show_photo()
        else:
            self.candidates.with_chosen(self.flip.show)

    def action_take(self) -> None:
        """Go on from the chosen candidate."""
        self.candidates.with_chosen(lambda picture: self._photos.open_path(picture.path))

    def action_reuse(self) -> None:
        """Take over a candidate's prompts, seed, steps and guidance."""
        self.candidates.with_chosen(self._reuse)

    def _reuse(self, picture: Picture) -> None:
        recipe = picture.recipe
        added = self.prompts.take_over(picture, self.prompts.prompt.value)
        self.regions.take_over(recipe.prompt.split(" | "), recipe.start, recipe.decoder_steps or 0)
        self.say(f"took over prompts, seed, settings{added}; ctrl+g draws")

    def action_save_as(self) -> None:
        """Copy a candidate to a file."""
        self.candidates.with_chosen(self._actions.save_as)

    def action_delete_picture(self) -> None:
        """Delete a candidate's file."""
        self.candidates.with_chosen(self._actions.delete)

    def action_copy_prompt(self) -> None:
        """Copy a candidate's prompts."""
        self.candidates.with_chosen(self._actions.copy_prompt)

    def action_full(self) -> None:
        """The photo, or the candidate in its place, and nothing else."""
        self.flip.show_full(self.candidates.chosen)

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        file, run = self.desk.file, self.runs.run
        if file is None or run is None or self.regions.current < 0:
            return {}
        values = {"photo": shlex.quote(str(file.photo)), "run": shlex.quote(run.name)}
        options = self.prompts.command_values()["options"]
        values |= self.regions.words(self.candidates.queue.last, options)
        if picture := self.candidates.chosen:
            values["picture_command"] = picture.command()
        return values

    def action_copy(self) -> None:
        """Copy the command: of the chosen candidate while the candidates have the focus."""
        picture = self.candidates.chosen if self.gallery.has_focus else None
        if picture is not None:
            self.bas.copy(picture.command())
        elif command := self.command_for(self.bas.registry.by_id["edit.draw"]):
            self.bas.copy(command)
        else:
            self.say("paint a region first", "warning")

    def _show_header(self) -> None:
        run, file, document = self.runs.run, self.desk.file, self.desk.document
        names = filter(None, (run.name if run else "", file.photo.name if file else ""))
        state = "not drawn" if document is not None and document.dirty else ""
        state = "drawing" if self.candidates.queue.current is not None else state
        self.header = HeaderInfo(run=" in ".join(names), device=guess_device().kind, state=state)

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self.canvas.changed()
        self.gallery.draw()

    def reset_view(self) -> None:
        """Whole photo, tinted regions, all candidates at the default size."""
        self.desk.reset_view()
        self.candidates.reset()
