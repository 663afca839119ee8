"""Help texts that fill the terminal's width: docstrings are broken where the source is."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

EXAMPLE = re.compile(r"^\w[\w ]*:  ")
"""A line that stays one: two blanks after its colon, as in `Example:  bas demo`."""


def as_switch(option: Any) -> Any:
    """--help as a switch: Typer shows its type, as if a value had to follow."""
    if option is not None:
        option.metavar = ""
    return option


class Command(TyperCommand):
    """Typer's command, whose --help is shown as a switch."""

    def get_help_option(self, ctx: Any) -> Any:
        """Typer's option without its type."""
        return as_switch(super().get_help_option(ctx))


class Group(TyperGroup):
    """Typer's group, whose --help is shown as a switch."""

    def get_help_option(self, ctx: Any) -> Any:
        """Typer's option without its type."""
        return as_switch(super().get_help_option(ctx))


def flow(app: typer.Typer) -> None:
    """Join the lines within the paragraphs of every command's help; --help is a switch."""
    for info in (*app.registered_commands, app.registered_callback):
        if info is not None and info.callback is not None:
            info.help = flowing(inspect.getdoc(info.callback) or "")
    for info in app.registered_commands:
        info.cls = Command
    for group in app.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            flow(group.typer_instance)


def flowing(text: str) -> str:
    """The text with a line for each paragraph and each example."""
    lines: list[str] = []
    joins = False
    for line in text.splitlines():
        example = bool(EXAMPLE.match(line))
        if joins and line and not example:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        joins = bool(line) and not example
    return "\n".join(lines)
