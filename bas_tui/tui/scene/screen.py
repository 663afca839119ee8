"""The Scene screen: a picture, its masks, what is odd about them, and the plan to train on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from bas_tui.tui.scene.keys import KEYS
from bas_tui.tui.scene.mask_canvas import MaskCanvas
from bas_tui.tui.scene.mask_grids import MaskGrids
from bas_tui.tui.scene.mask_legend import LegendState, MaskLegend
from bas_tui.tui.scene.mask_tools import MaskTools
from bas_tui.tui.scene.plan_panel import PlanPanel
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.scene.scene_concepts import ConceptActions
from bas_tui.tui.scene.scene_files import FileActions
from bas_tui.tui.scene.scene_plan import PlanActions
from bas_tui.tui.scene.training_view import inspect
from bas_tui.tui.shell.bindings import bindings_of
from bas_tui.tui.shell.header import HeaderInfo
from engine.models.device_guess import guess_device
from engine.models.facts import attention_grid

INSPECT_SECONDS = 0.25
"""Checks run at most this often while a stroke is under way."""


class SceneScreen(ConceptActions, FileActions, PlanActions):
    """Opens a picture with or without masks; paints; starts runs."""

    SCOPE = "scene"
    HELP_TEXT = (
        "A picture with several things and a loose mask for each. Mask them at the left, see at "
        "the right what training would make of it, and press t. The photo itself is never "
        "changed; unsaved painting is kept until the next start."
    )
    CSS_PATH = "scene.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(bindings_of(KEYS, "scene"))

    def compose_body(self) -> Iterable[Widget]:
        """Canvas and tools at the left; concepts, checks and plan at the right."""
        with Horizontal(id="body"):
            with Vertical(id="work"):
                yield MaskCanvas(id="canvas")
                yield MaskTools()
            with VerticalScroll(id="side", can_focus=False):
                yield Static("Concepts", id="concepts-title", classes="section-title")
                yield MaskLegend()
                yield Static("Checks", id="checks-title", classes="section-title")
                yield Static(id="checks")
                yield Static("Plan", id="plan-title", classes="section-title")
                yield PlanPanel()
                yield Static(
                    "What the attention grid sees", id="grids-title", classes="section-title"
                )
                yield MaskGrids()
                yield Static(id="notes", markup=False)

    def on_mount(self) -> None:
        """The last plan's base; the picture comes with `open`."""
        remembered = self._remembered()
        plan = Plan()
        if isinstance(base := remembered.get("base"), str) and base:
            plan = plan.with_base(base)
        self.panel.device = guess_device()
        self._use_plan(plan)
        self.show_all()
        self.query_one(MaskCanvas).focus()

    def on_screen_resume(self) -> None:
        """Without a picture, ask for one."""
        if self.file is None:
            # `open` comes a moment later where the app was told what to show.
            self.set_timer(0.3, self._ask_if_empty)

    def _ask_if_empty(self) -> None:
        if self.file is None and self.app.screen is self:
            self.action_open_scene()

    def open(self, **arguments: Any) -> None:
        """`scene` (a path), `masks` (a path or several), `base`."""
        if base := arguments.get("base"):
            self._use_plan(self.panel.plan.with_base(str(base)))
        scene = arguments.get("scene")
        if scene:
            masks = arguments.get("masks") or ()
            paths = [masks] if isinstance(masks, str | Path) else list(masks)
            self.open_path(Path(scene), [Path(path) for path in paths])

    def show_all(self) -> None:
        """Everything anew."""
        self.inspect_now()
        self._show_tools()
        self.show_header()
        notes = self.file.notes if self.file else ()
        self.query_one("#notes", Static).update("\n".join(f"· {note}" for note in notes))

    def _show_tools(self) -> None:
        tools = self.query_one(MaskTools)
        tools.state, tools.cursor = self.canvas.state, self.canvas.cursor

    def show_header(self) -> None:
        plan, device = self.panel.plan, self.panel.device
        name, state = "", ""
        if self.file is not None and self.document is not None:
            name = self.file.source.name
            state = "unsaved" if self.document.dirty else ""
        self.header = HeaderInfo(run=name, base=plan.base, device=device.kind, state=state)

    def inspect_now(self) -> None:
        self._inspect_timer = None
        document = self.document
        plan = self.panel.plan
        grid = attention_grid(plan.base, plan.config())
        self.inspection = None if document is None else inspect(document, grid, plan.side)
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
        self.query_one("#checks", Static).update(self._checks())
        errors = (
            [f for f in self.inspection.findings if f.level == "error"] if self.inspection else []
        )
        self.panel.blocked = (
            "" if self.inspection and not errors else errors[0].message if errors else "no picture"
        )

    def _checks(self) -> Content:
        if self.inspection is None or self.document is None:
            return Content.styled("open a picture with O", "$faint")
        findings = self.inspection.findings
        title = self.query_one("#checks-title", Static)
        title.update(f"Checks ({len(findings)})" if findings else "Checks")
        if not findings:
            return Content.styled("nothing stands against training", "$success")
        short = self.has_class("-short")
        lines: list[Content] = []
        for finding in findings[:8]:
            mark, style = ("✗", "$error") if finding.level == "error" else ("!", "$warning")
            text = Content.assemble(Content.styled(f"{mark} ", f"bold {style}"), finding.message)
            if not short or finding is findings[0]:
                text = Content.assemble(text, Content.styled(f" - {finding.remedy}", "$faint"))
            lines.append(text)
        return Content("\n").join(lines)

    @on(MaskCanvas.Edited)
    def _edited(self, event: MaskCanvas.Edited) -> None:
        if event.done:
            self.changed()
        elif self._inspect_timer is None:
            self._inspect_timer = self.set_timer(INSPECT_SECONDS, self.inspect_now)

    @on(MaskCanvas.StateChanged)
    def _tool_changed(self) -> None:
        self._show_tools()

    def changed(self) -> None:
        """The document has another state."""
        self.inspect_now()
        self.show_header()
        self.keep_soon()

    def terminal_changed(self) -> None:
        """Other colours, other characters."""
        self.canvas.changed()

    def reset_view(self) -> None:
        """Whole picture, tinted masks."""
        canvas = self.canvas
        canvas.state = dataclasses.replace(canvas.state, overlay="tint")
        if canvas.view is not None and canvas.view.zoom:
            canvas.action_zoom_fit()
        canvas.changed()
        self._show_tools()
