"""Scene screen: the plan, its estimate, and the start of a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from textual import on, work

from bas_tui.tui.scene.document import ConceptMask
from bas_tui.tui.scene.photo_file import (
    SceneFile,
    suggested_folder,
    to_scene,
)
from bas_tui.tui.scene.plan_panel import PlanPanel, Row
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.scene.scene_base import SceneBase
from bas_tui.tui.shell.ask import Ask, PathSuggester
from engine.core.errors import BasError
from engine.models.device_guess import guess_device
from engine.models.plan import StepTimes, estimate, past_step_seconds


class PlanActions(SceneBase):
    """Actions on the plan."""

    @on(PlanPanel.Changed)
    def _plan_changed(self, event: PlanPanel.Changed) -> None:
        self._use_plan(event.plan)

    def _use_plan(self, plan: Plan) -> None:
        panel = self.panel
        panel.plan = plan
        panel.device = guess_device(plan.config().device)
        if plan.base in self._past:
            self._show_outlook()
        else:
            panel.outlook = None
            self._look_up_past(plan.base, panel.device.kind)
        self.show_header()
        self.inspect_now()

    @work(thread=True, group="past", exit_on_error=False)
    def _look_up_past(self, base: str, kind: str) -> None:
        past = past_step_seconds(base, kind)
        self.app.call_from_thread(self._have_past, base, past)

    def _have_past(self, base: str, past: StepTimes | None) -> None:
        self._past[base] = past
        self._show_outlook()

    def _show_outlook(self) -> None:
        panel, plan = self.panel, self.panel.plan
        panel.outlook = estimate(plan.base, plan.config(), panel.device, self._past.get(plan.base))

    def action_next_base(self) -> None:
        """Next base model."""
        self._use_plan(self.panel.plan.next_base())
        self.say(f"base model {self.panel.plan.base}: {self.panel.plan.title}")

    def action_focus_plan(self) -> None:
        """To the plan and back."""
        # Not `focus()`, which waits for the next turn: the next key may be here already.
        self.set_focus(self.canvas if self.panel.has_focus else self.panel)

    @on(PlanPanel.Edit)
    def _edit_plan(self, event: PlanPanel.Edit) -> None:
        row, plan = event.row, self.panel.plan
        titles: dict[Row, tuple[str, str, Callable[[str], Plan]]] = {
            "base": ("Base model: a name, a diffusers folder, a .safetensors file or a hub id",
                     plan.base, self._checked_base),
            "phase1.steps": ("Steps of phase 1 (tokens only)", str(plan.config().phase1.steps),
                             lambda text: plan.with_setting("phase1.steps", text)),
            "phase2.steps": ("Steps of phase 2 (weights too)", str(plan.config().phase2.steps),
                             lambda text: plan.with_setting("phase2.steps", text)),
            "settings": ("Settings that differ, as in: loss.prior_weight=0 phase2.train=unet",
                         plan.words(steps=False), plan.with_words),
        }  # fmt: skip
        title, value, make = titles[row]

        def done(text: str | None) -> None:
            if text is not None:
                self._use_plan(make(text.strip()))

        suggester = PathSuggester((".safetensors",)) if row == "base" else None
        self.app.push_screen(
            Ask(title, value, check=lambda text: make(text.strip()), suggester=suggester), done
        )

    def _checked_base(self, text: str) -> Plan:
        from bas_tui.client import resolve_base

        return self.panel.plan.with_base(resolve_base(text, ask_hub=False))

    @on(PlanPanel.Train)
    def _train_pressed(self) -> None:
        self.action_train()

    def action_train(self) -> None:
        """Create the run; the Train screen starts its host."""
        file, document, panel = self.file, self.document, self.panel
        if file is None or document is None or panel.starting:
            return
        self.canvas.lift()
        errors = (
            [f for f in self.inspection.findings if f.level == "error"] if self.inspection else []
        )
        if errors:
            self.say(f"{errors[0].message} - {errors[0].remedy}", "error")
            return
        panel.starting = True
        self._start(file, document.snapshot(), panel.plan)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start(self, file: SceneFile, concepts: list[ConceptMask], plan: Plan) -> None:
        from bas_tui import client

        try:
            run = client.create_run(
                to_scene(file, concepts),
                base=plan.base,
                settings=plan.settings(),
                scene_source=str(file.source.resolve()),
                initializers={c.name: c.initializer for c in concepts if c.initializer},
            )
        except BasError as error:
            self.app.call_from_thread(self._started, None, error)
        except Exception as error:  # The plan must not stay "starting" for ever.
            wrapped = BasError(f"the run did not start: {error}", "try again, or use bas train")
            self.app.call_from_thread(self._started, None, wrapped)
        else:
            self.app.call_from_thread(self._started, run.name, None)

    async def _started(self, run: str | None, error: BasError | None) -> None:
        self.panel.starting = False
        if error is not None:
            self.bas.show_error(error)
        elif run is not None:
            self.bas.remember(last_run=run)
            await self.bas.go("train", run=run, control=True, start=True)

    def command_values(self) -> dict[str, str]:
        """Fields of the equivalent commands."""
        file, document = self.file, self.document
        if file is None or document is None:
            return {}
        plan = self.panel.plan
        masks = self.save_folder or file.masks_folder or suggested_folder(file)
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
