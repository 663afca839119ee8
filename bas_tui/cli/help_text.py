"""Help texts that fill the terminal's width: docstrings are broken where the source is."""

from __future__ import annotations

import inspect
import re

import typer

EXAMPLE = re.compile(r"^\w[\w ]*:  ")
"""A line that stays one: two blanks after its colon, as in `Example:  bas demo`."""


def flow(app: typer.Typer) -> None:
    """Join the lines within the paragraphs of every command's help, those of groups included."""
    for info in (*app.registered_commands, app.registered_callback):
        if info is not None and info.callback is not None:
            info.help = flowing(inspect.getdoc(info.callback) or "")
    for group in app.registered_groups:
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
