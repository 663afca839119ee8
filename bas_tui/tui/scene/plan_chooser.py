"""The plan of the Scene screen: base, steps, settings, and what they will take."""

from __future__ import annotations

from collections.abc import Callable

from bas_tui.tui.scene.plan_panel import PlanPanel, Row
from bas_tui.tui.scene.run_plan import Plan
from bas_tui.tui.shell.ask import Ask, PathSuggester
from bas_tui.tui.shell.screen import BasScreen
from engine.models.device_guess import guess_device
from engine.models.facts import attention_grid, latent_side
from engine.models.plan import StepTimes, estimate, past_step_seconds


class PlanChooser:
    """Changes the plan; past runs of its base are looked up once."""

    def __init__(self, screen: BasScreen, changed: Callable[[], None]) -> None:
        """`changed` is called after every change of the plan."""
        self._screen, self._changed = screen, changed
        self._past: dict[tuple[str, str], StepTimes | None] = {}
        """By base and kind of device."""
        self.grid = 16
        """Side of the plan's attention grid."""
        self.cells = 64
        """Side of its latents."""
        self.side: int | None = None
        """Side of the training picture in pixels; None: not known here."""

    @property
    def panel(self) -> PlanPanel:
        """Where the plan is seen."""
        return self._screen.query_one(PlanPanel)

    def use(self, plan: Plan) -> None:
        """Take another plan."""
        panel = self.panel
        config = plan.config()
        panel.plan = plan
        # Once a plan: every stroke asks, and they build settings and read the base's files.
        self.grid, self.side = attention_grid(plan.base, config), plan.side
        self.cells = latent_side(plan.base, config)
        panel.device = guess_device(config.device)
        asked = plan.base, panel.device.kind
        if asked in self._past:
            self._show_outlook()
        else:
            panel.outlook = None
            self._screen.run_worker(
                lambda: self._look_up(*asked), thread=True, group="past", exit_on_error=False
            )
        self._changed()

    def _look_up(self, base: str, kind: str) -> None:
        past = past_step_seconds(base, kind)
        self._screen.app.call_from_thread(self._have_past, base, kind, past)

    def _have_past(self, base: str, kind: str, past: StepTimes | None) -> None:
        self._past[base, kind] = past
        self._show_outlook()

    def _show_outlook(self) -> None:
        panel, plan = self.panel, self.panel.plan
        past = self._past.get((plan.base, panel.device.kind))
        panel.outlook = estimate(plan.base, plan.config(), panel.device, past)

    def next_base(self) -> None:
        """Next base model."""
        self.use(self.panel.plan.next_base())
        plan = self.panel.plan
        self._screen.say(f"base model {plan.base}: {plan.title}")

    def ask(self, row: Row, plan: Plan) -> None:
        """Let the person write a row of the plan."""
        titles: dict[Row, tuple[str, str, Callable[[str], Plan]]] = {
            "base": ("Base model: a name, a diffusers folder, a .safetensors file or a hub id",
                     plan.base, self._with_base),
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
                self.use(make(text.strip()))

        suggester = PathSuggester((".safetensors",)) if row == "base" else None
        self._screen.app.push_screen(
            Ask(title, value, check=lambda text: make(text.strip()), suggester=suggester), done
        )

    def _with_base(self, text: str) -> Plan:
        from bas_tui.client import resolve_base

        plan = self.panel.plan
        own_vae = bool(plan.changes.get("base.vae"))
        return plan.with_base(resolve_base(text, ask_hub=False, own_vae=own_vae))
