"""Compose screen: seed, count, steps and guidance."""

from __future__ import annotations

import dataclasses
import secrets

from textual import on

from bas_tui.tui.compose.compose_base import ComposeBase
from bas_tui.tui.compose.prompt_settings import Field, PromptSettings
from bas_tui.tui.shell.ask import Ask


class SettingActions(ComposeBase):
    """Changes settings by click, key and typing."""

    def action_setting(self, field: Field, direction: int) -> None:
        """A click on a setting."""
        if direction == 0:
            self._edit_setting(field)
        else:
            self.settings.step(field, direction)

    @on(PromptSettings.Edit)
    def _setting_edited(self, event: PromptSettings.Edit) -> None:
        self._edit_setting(event.field)

    def _edit_setting(self, field: Field) -> None:
        settings = self.settings
        value = getattr(settings.settings, field)

        def done(text: str | None) -> None:
            if text is not None:
                settings.settings = settings.settings.typed(field, text)

        empty = {"seed": "a new one each time", "count": ""}.get(field, "the run's own")
        self.app.push_screen(
            Ask(
                field.capitalize(), "" if value is None else f"{value:g}" if field == "guidance"
                else str(value), hint=empty,
                check=lambda text: settings.settings.typed(field, text),
            ),
            done,
        )  # fmt: skip

    def action_lock_seed(self) -> None:
        """Lock or free the seed."""
        settings = self.settings
        now = settings.settings
        if now.seed is None:
            self.action_new_seed()
            return
        settings.settings = dataclasses.replace(now, locked=not now.locked)
        self.say(f"seed {now.seed} is locked" if not now.locked else "a new seed each time")

    def action_new_seed(self) -> None:
        """A random seed, locked."""
        settings = self.settings
        seed = secrets.randbelow(2**31)
        settings.settings = dataclasses.replace(settings.settings, seed=seed, locked=True)
        self.say(f"seed {seed} is locked")
