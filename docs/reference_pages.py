"""Writes the pages of docs/reference that follow the code: commands, settings, events, run folder.

The texts are the code's own: help texts and docstrings. The pages are made anew at every build.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
from pathlib import Path
from typing import Any

import typer

from bas_tui.cli.information import documented_settings
from bas_tui.cli.main import app
from engine.runs import events, exchange_events, folder

MADE = "<!-- Made from the code by docs/reference_pages.py. -->\n\n"
EXAMPLE = r"(?m)^Example: +(.+)$"
EXAMPLE_LINES = r"(?m)^Example: .+$(?:\s*^Example: .+$)*"


def write(into: Path) -> None:
    """Write every page into the folder `into`."""
    pages = {
        "commands": commands(),
        "settings": settings(),
        "events": event_kinds(),
        "run-folder": run_folder(),
    }
    into.mkdir(exist_ok=True)
    for name, text in pages.items():
        file = into / f"{name}.md"
        # An unchanged page keeps its time, so that a second build has nothing to do.
        if not file.is_file() or file.read_text(encoding="utf-8") != MADE + text:
            file.write_text(MADE + text, encoding="utf-8")


def commands() -> str:
    """Every command with its arguments and options, from Typer."""
    root: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "`bas COMMAND --help` says the same. Options of `bas` itself come before the command.",
        "",
        *_command(root),
    ]
    for name, command in root.commands.items():
        lines += ["", f"## bas {name}", "", *_command(command)]
        for inner, below in getattr(command, "commands", {}).items():
            lines += ["", f"### bas {name} {inner}", "", *_command(below)]
    return "\n".join(lines) + "\n"


def _command(command: Any) -> list[str]:
    help_ = inspect.cleandoc(command.help or "")
    examples = re.findall(EXAMPLE, help_)
    before, *after = re.split(EXAMPLE_LINES, help_, maxsplit=1)
    lines = [_text(before.strip())]
    if examples:
        lines += ["", "```", *(example.strip() for example in examples), "```"]
    if rest := "".join(after).strip():
        lines += ["", _text(rest)]
    rows: list[str] = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        metavar = parameter.metavar or ""
        if parameter.param_type_name == "argument":
            what = f"`{metavar or parameter.name.upper()}`"
        else:
            words = [*parameter.opts, *parameter.secondary_opts]
            what = " ".join([*(f"`{word}`" for word in words), _cell(metavar)]).strip()
        help_ = parameter.help or ""
        choices = _choices(parameter)
        if not all(re.search(rf"\b{re.escape(choice)}\b", help_) for choice in choices):
            help_ = f"{help_} One of {', '.join(choices)}."
        rows.append(f"| {what} | {_cell(help_)} | {_cell(_default(parameter))} |")
    if rows:
        lines += ["", "| | | default |", "|---|---|---|", *rows]
    return lines


def _choices(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    if not (inspect.isclass(kind) and issubclass(kind, enum.Enum)):
        return []
    return [str(choice.value) for choice in kind]


def _default(parameter: Any) -> str:
    """What stands in where it is not given; empty for switches that are off and for nothing."""
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    if isinstance(value, enum.Enum):
        value = value.value
    shown = parameter.show_default and not callable(value)
    return f"`{value}`" if shown and value not in (None, False, "", [], ()) else ""


def settings() -> str:
    """Every setting with its default, from the configuration's attribute docstrings."""
    lines = [
        "# Settings",
        "",
        "`bas settings` lists them. Change one with `--set KEY=VALUE`, many with",
        "`--settings FILE.toml`. The defaults are the paper's where the paper has one; a base",
        "model may come with others (its recipe).",
    ]
    group = None
    for setting in documented_settings():
        name = setting.key.partition(".")[0] if "." in setting.key else "General"
        if name != group:
            group = name
            lines += ["", f"## {group}", "", "| setting | default | what |", "|---|---|---|"]
        default = f"`{_plain(setting.default)}`" if setting.default != "" else "empty"
        what = _cell(f"{setting.help} ({setting.takes})")
        lines.append(f"| `{setting.key}` | {default} | {what} |")
    return "\n".join(lines) + "\n"


def event_kinds() -> str:
    """Every kind of event with its fields; `exchange_events` adds its own to `events.EVENTS`."""
    helps = {
        key: text
        for module in (events, exchange_events)
        for key, text in _attribute_docstrings(inspect.getsource(module)).items()
    }
    lines = [
        "# Events",
        "",
        _text(inspect.cleandoc(events.__doc__ or "")),
        "",
        "`events.jsonl` and the `--json` option of `bas train`, `bas watch`, `bas gen` and",
        "`bas export` have them, one a line, with `kind`, `seq` and `time`. `engine.api.train`",
        "yields the same as objects.",
    ]
    for kind, cls in events.EVENTS.items():
        lines += ["", f"## {kind}", *_fields(cls, helps)]
    lines += ["", "## Parts of events"]
    for name, cls in inspect.getmembers(events, inspect.isclass):
        if dataclasses.is_dataclass(cls) and not issubclass(cls, events.Event):
            lines += ["", f"### {name}", *_fields(cls, helps)]
    return "\n".join(lines) + "\n"


def _fields(cls: Any, helps: dict[tuple[str, str], str]) -> list[str]:
    lines = ["", _text(inspect.cleandoc(cls.__doc__ or ""))]
    fields = [field for field in dataclasses.fields(cls) if field.name not in ("seq", "time")]
    if fields:
        lines += ["", "| field | type | what |", "|---|---|---|"]
    for field in fields:
        type_ = str(field.type).replace("|", "or")
        what = _cell(helps.get((cls.__name__, field.name), ""))
        lines.append(f"| `{field.name}` | `{type_}` | {what} |")
    return lines


def run_folder() -> str:
    """The paths of a run, from `engine.runs.folder`."""
    lines = [
        "# The run folder",
        "",
        "Everything a run is lies in one folder, `$BAS_HOME/runs/NAME` (`bas show NAME` says it).",
        "On another machine it is the same run. `run.toml` is for people to read, `events.jsonl`",
        "for programs (see [events](events.md)).",
        "",
        "| path | what |",
        "|---|---|",
    ]
    run = folder.RunDir(Path("RUN"))
    for name, value in inspect.getmembers(folder.RunDir, lambda m: isinstance(m, property)):
        if name != "name":
            doc = value.fget.__doc__ or OTHER_PATHS[name]
            lines.append(f"| `{getattr(run, name)}` | {_cell(doc)} |")
    return "\n".join(lines) + "\n"


OTHER_PATHS = {
    "checkpoints": "What a run goes on from after a stop or a crash; gone when it has finished.",
    "events": "Every event, one JSON object a line, appended only.",
    "log": "What libraries said in the training process.",
    "pid_file": "Process id of the host while it lives.",
    "previews": "Preview pictures of the run, by step.",
}
"""Paths whose names say it in the code."""


def _attribute_docstrings(source: str) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for before, after in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(before, ast.AnnAssign)
                    and isinstance(before.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    found[node.name, before.target.id] = str(after.value.value)
    return found


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    """Help text as Markdown: `<asset0>` is no HTML, and Rich's markup goes."""
    text = re.sub(r"\[/?(?:bold|dim|green|b|i)\]", "", text).replace("\\[", "[")
    # Every second piece is a span of code, which is shown as it stands.
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"<(?=[a-zA-Z/])", r"\\<", piece) for piece in pieces[::2]]
    return "".join(pieces)


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", "\\|").strip()
