"""The Scene screen: a picture, its masks, what is odd about them, and the plan to train on it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from bas_tui.tui.drawing.mask_render import OVERLAY_HELP
from bas_tui.tui.scene.canvas_messages import BoxDrawn, Decided, Edited, Pointed, StateChanged
from bas_tui.tui.scene.checks_panel import ChecksPanel
from bas_tui.tui.scene.concept_actions import ConceptActions
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import MaskDocument
from bas_tui.tui.scene.file_actions import FileActions
from bas_tui.tui.scene.keys import KEYS
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.mask_grids import MaskGrids
from bas_tui.tui.scene.mask_legend import LegendState, MaskLegend
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.scene.photo_file import SceneFile, suggested_folder
from bas_tui.tui.scene.plan_chooser import PlanChooser
from bas_tui.tui.scene.plan_panel import PlanPanel
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.scene.run_starter import RunStarter
from bas_tui.tui.scene.thing_search import ThingSearch
from bas_tui.tui.scene.training_view import Inspection, inspect
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.full_picture import FullPicture
from bas_tui.tui.shell.header import HeaderInfo
from bas_tui.tui.shell.screen import BasScreen

INSPECT_SECONDS = 0.25
"""Checks run at most this often while a stroke is under way."""


class SceneScreen(BasScreen):
    """Puts the parts together: a picture on a desk, its masks, checks of them, a plan."""

    SCOPE = "scene"
    HELP_TEXT = (
        "A picture with several things and a loose mask for each. Mask them at the left, see at "
        "the right what training would make of it, and press t. The photo itself is never "
        "changed; unsaved painting is kept until the next start."
    )
    CSS_PATH = "scene.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "scene"))

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(self, self._changed)
        self.inspection: Inspection | None = None
        self.files = FileActions(self.desk, opened=self._opened, saved=self._show_header)
        self._concepts = ConceptActions(self.desk)
        self._things = ThingSearch(self.desk)
        self._plan = PlanChooser(self, self._plan_chosen)
        self._starter = RunStarter(self.desk)
        self._inspect_timer: Timer | None = None

    def compose_body(self) -> Iterable[Widget]:
        """Canvas and tools at the left; concepts, checks and plan at the right."""
        with Horizontal(id="body"):
            with Vertical(id="work"):
                yield MaskCanvas(id="canvas")
                yield MaskTools()
            with VerticalScroll(id="side", can_focus=False):
                yield Static("Concepts", id="concepts-title", classes="section-title")
                yield MaskLegend()
                yield ChecksPanel()
                yield Static("Plan", id="plan-title", classes="section-title")
                yield PlanPanel()
                yield Static(
                    "What the attention grid sees", id="grids-title", classes="section-title"
                )
                yield MaskGrids()
                yield Static(id="notes", markup=False)

    @property
    def file(self) -> SceneFile | None:
        """The open picture."""
        return self.desk.file

    @property
    def document(self) -> MaskDocument | None:
        """Its masks."""
        return self.desk.document

    @property
    def canvas(self) -> MaskCanvas:
        """Where they are painted."""
        return self.desk.canvas

    @property
    def panel(self) -> PlanPanel:
        """What a run of them would be."""
        return self._plan.panel

    def on_mount(self) -> None:
        """The plan as it is without a word; the picture comes with `open`."""
        self._plan.use(Plan())
        self._show_all()
        self.canvas.focus()

    def on_unmount(self) -> None:
        """The last moment to keep painting."""
        self.files.keep_now()
        self._things.close()

    def open_default(self) -> None:
        """Without a picture, ask for one; who says no is asked again when he comes again."""
        if self.file is None and self.app.screen is self:
            self.action_open_scene()

    def open(self, **arguments: Any) -> None:
        """`scene` (a path), `masks` (a path or several), `base`, `segmenter`, `words_by`."""
        if (segmenter := arguments.get("segmenter")) or arguments.get("words_by"):
            self._things.use(str(segmenter or ""), str(arguments.get("words_by") or ""))
        if base := arguments.get("base"):
            self._plan.use(self.panel.plan.with_base(str(base)))
        scene = arguments.get("scene")
        if scene:
            masks = arguments.get("masks") or ()
            paths = [masks] if isinstance(masks, str | Path) else list(masks)
            self.files.open_path(Path(scene), [Path(path) for path in paths])

    def unsaved(self) -> str:
        """Painting is kept for the next start, so nothing is lost unless that fails."""
        if self.files.keep_now():
            return ""
        return "unsaved masks (they could not be kept for the next start: is the disk full?)"

    def _opened(self) -> None:
        """Another picture lies on the desk: what was found belongs to the one before."""
        self._things.drop()
        self._show_all()
        self._things.warm_up()

    # What is seen

    def _show_all(self) -> None:
        """Everything anew."""
        self._inspect()
        self._show_tools()
        self._show_header()
        notes = self.file.notes if self.file else ()
        self.query_one("#notes", Static).update("\n".join(f"· {note}" for note in notes))

    def _show_tools(self) -> None:
        tools = self.query_one(MaskTools)
        tools.state, tools.cursor = self.canvas.state, self.canvas.cursor

    def _show_header(self) -> None:
        plan, device = self.panel.plan, self.panel.device
        name, state = "", ""
        if self.file is not None and self.document is not None:
            name = self.file.source.name
            state = "unsaved" if self.document.dirty else ""
        self.header = HeaderInfo(run=name, base=plan.base, device=device.kind, state=state)

    def _inspect(self) -> None:
        self._inspect_timer = None
        document = self.document
        grid, side = self._plan.grid, self._plan.side
        self.inspection = None if document is None else inspect(document, grid, side)
        self.canvas.square = self.inspection.square if self.inspection else None
        legend = self.query_one(MaskLegend)
        legend.state = LegendState(
            concepts=() if document is None else document.concepts,
            current=self.canvas.current,
            coverage=self.inspection.coverage if self.inspection else {},
            cells=self.inspection.cells if self.inspection else {},
        )
        self.query_one(MaskGrids).show(legend.state.concepts, self.inspection)
        self.query_one("#grids-title", Static).update(f"What the {grid}x{grid} attention grid sees")
        self.query_one(ChecksPanel).show(self.inspection, short=self.has_class("-short"))
        error = self.inspection.error if self.inspection else None
        self.panel.blocked = error.message if error else "" if self.inspection else "no picture"

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        if event.done:
            self._changed()
        elif self._inspect_timer is None:
            self._inspect_timer = self.set_timer(INSPECT_SECONDS, self._inspect)

    @on(StateChanged)
    def _tool_changed(self) -> None:
        self._show_tools()

    def _changed(self) -> None:
        self._inspect()
        self._show_header()
        self.files.keep_soon()

    # Files

    def action_open_scene(self) -> None:
        """Ask for a picture."""
        self.files.ask_for_scene()

    def action_save(self) -> None:
        """Save the masks; asks where, once."""
        self.files.save()

    # Concepts

    def action_undo(self) -> None:
        """One step back; of a thing that is being found its last click."""
        if not self._things.step_back():
            self._concepts.undo()

    def action_redo(self) -> None:
        """One step forth."""
        self._concepts.redo()

    def action_new_concept(self) -> None:
        """Add a concept and name it."""
        self._concepts.add()

    def action_rename(self) -> None:
        """Rename the current concept."""
        self._concepts.rename()

    def action_initializer(self) -> None:
        """Set the start word of the current concept."""
        self._concepts.start_word()

    def action_delete(self) -> None:
        """Delete the current concept."""
        self._concepts.delete()

    def action_move(self, offset: int) -> None:
        """Reorder."""
        self._concepts.move(offset)

    def action_cycle(self, steps: int) -> None:
        """Next or previous concept."""
        if self.document is not None and self.document.concepts:
            keys = [concept.key for concept in self.document.concepts]
            place = keys.index(self.canvas.current) if self.canvas.current in keys else 0
            self._choose(keys[(place + steps) % len(keys)])

    def action_pick(self, index: int) -> None:
        """Concept by number."""
        if self.document is not None and index < len(self.document.concepts):
            self._choose(self.document.concepts[index].key)

    def _choose(self, key: int) -> None:
        self.canvas.lift()
        self.canvas.current = key
        self.canvas.changed()
        self._inspect()

    @on(MaskLegend.Chosen)
    def _legend_chosen(self, event: MaskLegend.Chosen) -> None:
        self._choose(event.key)
        if event.rename:
            self.action_rename()

    def action_background(self) -> None:
        """What surrounds the things."""
        self.desk.edit(lambda document, _key: document.add_background(self._plan.cells))

    def action_discard(self) -> None:
        """Back to the masks of the files."""
        self._concepts.discard()

    # Painting

    def action_full(self) -> None:
        """The picture and nothing else."""
        if self.document is not None:
            self.app.push_screen(FullPicture(self.document.image))

    def action_overlay(self) -> None:
        """Next way to show masks."""
        self.say(OVERLAY_HELP[self.canvas.next_overlay()])

    def action_canvas(self, action: str, *values: Any) -> None:
        """A click on the tool bar."""
        self.set_focus(self.canvas)
        getattr(self.canvas, f"action_{action}")(*values)

    # Finding

    @on(BoxDrawn)
    def _box_drawn(self, event: BoxDrawn) -> None:
        self._things.box(event.box)

    @on(Pointed)
    def _pointed(self, event: Pointed) -> None:
        self._things.point(event.at, event.adds)

    @on(Decided)
    def _decided(self, event: Decided) -> None:
        self._things.take() if event.taken else self._things.drop()

    @on(ThingSearch.Answered)
    def _things_answered(self, event: ThingSearch.Answered) -> None:
        self._things.answered(event)

    def action_thing(self, what: str) -> None:
        """`take`, `another` or `drop`: what becomes of the thing that was found."""
        getattr(self._things, what)()

    def action_find_word(self) -> None:
        """Find a thing by what it is called."""
        self._things.ask_words()

    # The plan

    def _plan_chosen(self) -> None:
        self._show_header()
        self._inspect()

    @on(PlanPanel.Changed)
    def _plan_changed(self, event: PlanPanel.Changed) -> None:
        self._plan.use(event.plan)

    @on(PlanPanel.Edit)
    def _edit_plan(self, event: PlanPanel.Edit) -> None:
        self._plan.ask(event.row, self.panel.plan)

    @on(PlanPanel.Train)
    def _train_pressed(self) -> None:
        self.action_train()

    def action_next_base(self) -> None:
        """Next base model."""
        self._plan.next_base()

    def action_focus_plan(self) -> None:
        """To the plan and back."""
        # Not `focus()`, which waits for the next turn: the next key may be here already.
        self.set_focus(self.canvas if self.panel.has_focus else self.panel)

    def action_train(self) -> None:
        """Create the run and go to it."""
        self._starter.start(self.inspection.error if self.inspection else None)

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        file, document = self.file, self.document
        if file is None or document is None:
            return {}
        plan = self.panel.plan
        masks = self.files.save_folder or file.masks_folder or suggested_folder(file)
        values = {
            "scene": shlex.quote(str(file.source)),
            "masks": shlex.quote(str(masks)),
            "base": shlex.quote(plan.base),
            "settings": plan.flags() + "".join(
                f" --init {shlex.quote(f'{c.name}={c.initializer}')}"
                for c in document.concepts if c.initializer
            ),
        }  # fmt: skip
        if self.canvas.current in {c.key for c in document.concepts}:
            concept = document.concept(self.canvas.current)
            values |= {"concept": concept.name, "word": concept.initializer or "WORD"}
        return values

    def action_copy(self) -> None:
        """Copy the command."""
        if command := self.command_for(self.bas.registry.by_id["scene.copy"]):
            self.bas.copy(command)

    # View

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self.canvas.changed()

    def reset_view(self) -> None:
        """Whole picture, tinted masks."""
        self.desk.reset_view()
        self._show_tools()
