"""The plan of a run: base model, steps, settings that differ from the base's own recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.core.config import TrainConfig
from engine.core.settings import (
    build_config,
    flatten,
    parse_words,
    set_flags,
    setting_words,
    to_table,
)
from engine.models.facts import recipe_settings
from engine.models.names import BASE_MODELS, default_base

STEP_CHOICES = (0, 5, 10, 20, 50, 100, 150, 200, 300, 400, 600, 800, 1200)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `bas train` would be told."""

    base: str = field(default_factory=default_base)
    custom: str = ""
    """A folder, file or hub id that was typed; it joins the choices."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted settings that the person changed, over the base's recipe."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Base models to go through."""
        known = tuple(BASE_MODELS)
        return (*known, self.custom) if self.custom else known

    @property
    def title(self) -> str:
        """What the base model is."""
        model = BASE_MODELS.get(self.base)
        return model.title if model else "your own model"

    def settings(self) -> dict[str, Any]:
        """Recipe and changes together, dotted."""
        return {**recipe_settings(self.base), **self.changes}

    def config(self) -> TrainConfig:
        """Every setting of the run; raises UserError where one is wrong."""
        return build_config(self.settings())

    @property
    def side(self) -> int | None:
        """Side of the training picture in pixels; None: the base model's own, not known here."""
        model = BASE_MODELS.get(self.base)
        return self.config().resolution or (model.resolution if model else None)

    def with_base(self, base: str) -> Plan:
        """Another base model; one that is no known name becomes the custom choice."""
        base = base.strip()
        return replace(self, base=base, custom=self.custom if base in BASE_MODELS else base)

    def next_base(self, steps: int = 1) -> Plan:
        """The next (or previous) choice."""
        choices = self.choices
        place = choices.index(self.base) if self.base in choices else 0
        return replace(self, base=choices[(place + steps) % len(choices)])

    def with_setting(self, key: str, value: Any) -> Plan:
        """One setting changed; raises UserError for an unknown key or a wrong value."""
        changed = replace(self, changes={**self.changes, key: value})
        typed = flatten(to_table(changed.config()))[key]
        base_value = flatten(to_table(build_config(recipe_settings(self.base))))[key]
        changes = {name: old for name, old in self.changes.items() if name != key}
        if typed != base_value:
            changes[key] = typed
        return replace(self, changes=changes)

    def with_words(self, text: str) -> Plan:
        """Settings typed as `key=value key=value`; empty text drops all but the steps.

        Raises UserError (of a quote that is not closed ValueError), and changes nothing, where one
        of them is wrong.
        """
        kept = {key: value for key, value in self.changes.items() if key in STEP_KEYS}
        plan = replace(self, changes=kept)
        for key, value in parse_words(shlex.split(text)).items():
            plan = plan.with_setting(key, value)
        return plan

    def stepped(self, key: str, direction: int) -> Plan:
        """The next choice of a phase's steps up or down."""
        now = int(flatten(to_table(self.config()))[key])
        above = [value for value in STEP_CHOICES if value > now]
        below = [value for value in STEP_CHOICES if value < now]
        value = (above[:1] if direction > 0 else below[-1:]) or [now]
        other = STEP_KEYS[1 - STEP_KEYS.index(key)]
        if value[0] == 0 and int(flatten(to_table(self.config()))[other]) == 0:
            return self
        return self.with_setting(key, value[0])

    def words(self, *, steps: bool = True) -> str:
        """The changes as `key=value` words, those with blanks in quotes."""
        shown = {k: v for k, v in self.changes.items() if steps or k not in STEP_KEYS}
        return shlex.join(setting_words(shown))

    def flags(self) -> str:
        """The changes as ` --set key=value` flags."""
        return set_flags(self.changes)


STEP_KEYS = ("phase1.steps", "phase2.steps")
