"""What the documentation names exists: commands, options, settings, files."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from bas_tui.cli.main import app
from engine.core.settings import setting_keys

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        # The reference is made from the code.
        if not path.is_relative_to(ROOT / "docs/reference") and "_build" not in path.parts
    ),
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
SETTING = re.compile(r"(?<![\w.])((?:phase[12]|loss|data|lora|optimizer|sampling|preview)\.\w+)=")
FILE = re.compile(r"(?:engine|bas_tui|tests|docs|\.ci)/[\w/.-]+\.(?:py|md|toml|tcss|png|json)")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)[^)]*\)")
GENERATED = ("settings.md", "commands.md")
"""Pages that `make docs` makes of the code (docs/reference_pages.py)."""
TO_BE_ADDED = {"loss.smoothness_weight"}
"""The page that adds a setting speaks of one that is not there yet."""


def commands_in(text: str) -> list[str]:
    """Lines of code blocks and spans of code that call `bas`."""
    blocks = [line.strip() for _, block in FENCE.findall(text) for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in CODE.findall(FENCE.sub("", text))]
    lines = [line.removeprefix(".venv/bin/").removeprefix("ssh gpu-box ") for line in blocks]
    return [line for line in [*lines, *spans] if line.startswith("bas ")]


BAS = typer.main.get_command(app)


def complaint(line: str) -> str:
    """What the command line does not know of these words; empty if it knows all."""
    words = shlex.split(line, comments=True)[1:]
    command = BAS
    while words and (commands := getattr(command, "commands", {})) and words[0][0] not in "-.":
        if words[0] not in commands:
            return f"{line}: no command {words[0]}"
        command = commands[words.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for word in words:
        name = word.partition("=")[0]
        if re.match("--|-[a-zA-Z]$", word) and name != "--help" and name not in known:
            return f"{line}: no option {name}"
    return ""


@pytest.mark.parametrize("line", ["bas drow", "bas gen --nope 1", "bas eval run -q"])
def test_wrong_words_are_found(line: str) -> None:
    assert complaint(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = [said for line in commands_in(text) if (said := complaint(line))]
    wrong += [key for key in SETTING.findall(text) if key not in {*setting_keys(), *TO_BE_ADDED}]
    wrong += [name for name in FILE.findall(text) if not (ROOT / name).exists()]
    wrong += [
        f"{file}::{name}"
        for file, name in TEST.findall(text)
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    wrong += [
        link
        for link in LINK.findall(text)
        if not (page.parent / link).exists() and Path(link).name not in GENERATED
    ]
    assert not wrong


def test_every_extra_of_users_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs/howto/install.md").read_text(encoding="utf-8")
    extras = {name for name in project["optional-dependencies"] if not name.startswith("pocket-")}
    assert [name for name in extras - {"dev"} if f"`bas-tui[{name}]`" not in page] == []
