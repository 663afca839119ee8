"""From masks and a plan to a run."""

from __future__ import annotations

from bas_tui.error_log import unexpected
from bas_tui.tui.scene.desk import Desk
from bas_tui.tui.scene.document import ConceptMask
from bas_tui.tui.scene.photo_file import SceneFile, to_scene
from bas_tui.tui.scene.plan_panel import PlanPanel
from bas_tui.tui.scene.run_plan import Plan
from engine.core.errors import BasError
from engine.scenes.checks import Finding


class RunStarter:
    """Creates the run; the Train screen starts its host."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def _panel(self) -> PlanPanel:
        return self._desk.screen.query_one(PlanPanel)

    def start(self, error: Finding | None) -> None:
        """Create a run of what lies on the desk, unless the checks have found an `error`."""
        desk, panel = self._desk, self._panel
        file, document = desk.file, desk.document
        if file is None or document is None or panel.starting:
            return
        desk.canvas.lift()
        if error is not None:
            desk.screen.say(f"{error.message} - {error.remedy}", "error")
            return
        panel.starting = True
        concepts, plan = document.snapshot(), panel.plan
        desk.screen.run_worker(
            lambda: self._create(file, concepts, plan),
            thread=True, exclusive=True, group="start", exit_on_error=False,
        )  # fmt: skip

    def _create(self, file: SceneFile, concepts: list[ConceptMask], plan: Plan) -> None:
        from bas_tui import client

        app = self._desk.screen.app
        try:
            run = client.create_run(
                to_scene(file, concepts),
                base=plan.base,
                settings=plan.settings(),
                scene_source=str(file.source.resolve()),
                initializers={c.name: c.initializer for c in concepts if c.initializer},
            )
        except BasError as error:
            app.call_from_thread(self._failed, error)
        except Exception as error:  # The plan must not stay "starting" for ever.
            app.call_from_thread(self._failed, unexpected(error, "the run did not start"))
        else:
            app.call_from_thread(self._created, run.name)

    def _failed(self, error: BasError) -> None:
        self._panel.starting = False
        self._desk.screen.bas.show_error(error)

    async def _created(self, run: str) -> None:
        self._panel.starting = False
        self._desk.screen.bas.remember(last_run=run)
        await self._desk.screen.bas.go("train", run=run, control=True, start=True)
