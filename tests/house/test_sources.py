"""Rules that every source file keeps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
SOURCES = [
    path
    for folder in ("bas_tui", "engine", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def unsafe_uses(tree: ast.AST) -> Iterator[str]:
    """Whatever may run code from a file it reads."""
    for name in imported_modules(tree):
        if name.partition(".")[0] in UNSAFE_MODULES:
            yield f"import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "load":
            if isinstance(node.value, ast.Name) and node.value.id == "torch":
                yield "torch.load"
        elif isinstance(node, ast.ImportFrom) and node.module == "torch":
            yield from ("torch.load" for alias in node.names if alias.name == "load")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            forbidden = isinstance(node.value, ast.Constant) and node.value.value is False
            yield from () if forbidden else ("allow_pickle",)


def test_there_are_sources() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("suffix", [".py", ".tcss"])
def test_no_file_is_too_long(suffix: str) -> None:
    files = [
        path
        for folder in ("bas_tui", "engine", "tests")
        for path in sorted((ROOT / folder).rglob(f"*{suffix}"))
    ]
    lengths = {label(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_nothing_can_unpickle() -> None:
    found = {
        label(path): sorted(uses)
        for path in SOURCES
        if label(path).startswith(("engine/", "bas_tui/"))
        and (uses := set(unsafe_uses(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
    ],
)
def test_the_search_for_unpickling_finds(source: str) -> None:
    assert list(unsafe_uses(ast.parse(source)))


def test_nobody_imports_click() -> None:
    """Typer brings its own copy; the installed one is another library's."""
    found = [
        label(path)
        for path in SOURCES
        if any(
            name.partition(".")[0] == "click"
            for name in imported_modules(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert found == []


def test_every_module_says_what_it_is() -> None:
    missing = [
        label(path)
        for path in SOURCES
        if not label(path).startswith("tests/")
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert missing == []
