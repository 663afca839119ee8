"""docs/architecture.md, the import contracts and what is really loaded say the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCH = {"torch", "diffusers", "transformers", "accelerate"}
FRONT_END = {"bas_tui", "textual", "rich", "typer", "click", "term_image"}


def documented_layers() -> dict[str, list[str]]:
    """Title and modules of each row of the table, lowest first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| layer, lowest first | modules |", 1)[1].split("\n\n", 1)[0]
    rows = [row.strip("|").split("|") for row in table.splitlines() if row.count("|") == 3]
    return {
        title.strip(): re.findall(r"`(\w+)`", modules)
        for title, modules in rows
        if "---" not in title
    }


def contract_layers() -> list[list[str]]:
    """The modules of each layer of the import contract, lowest first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract["id"] == "layers"
    )
    return [re.findall(r"\w+", layer) for layer in reversed(contract["layers"])]


def modules_of(package: str) -> list[str]:
    folder = ROOT / package
    paths = sorted(folder.rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level packages that a fresh interpreter holds after importing the modules."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_table_and_the_contract_agree() -> None:
    rows = list(documented_layers().values())
    row_of = {module: k for k, row in enumerate(rows) for module in row}
    layers = contract_layers()
    assert sorted(row_of) == sorted(module for layer in layers for module in layer)
    heights = [{row_of[module] for module in layer} for layer in layers]
    assert all(len(height) == 1 for height in heights), "a layer lies in two rows"
    order = [height.pop() for height in heights]
    assert order == sorted(order)


def test_the_table_names_modules_that_exist() -> None:
    named = {module for row in documented_layers().values() for module in row}
    there = {name.split(".")[1] for name in modules_of("engine") if "." in name}
    if (ROOT / "engine" / "__main__.py").is_file():
        there.add("__main__")
    assert named - there == set()


def test_words_and_user_images_load_no_torch() -> None:
    rows = [row for title, row in documented_layers().items() if "no torch" in title]
    modules = [f"engine.{module}" for row in rows for module in row]
    assert len(modules) > 8
    assert loaded_by(["engine", *modules]) & TORCH == set()


def test_front_ends_load_no_torch() -> None:
    assert loaded_by(modules_of("bas_tui")) & TORCH == set()


@pytest.mark.parametrize("part", ["core", "pocket"])
def test_engine_loads_no_front_end(part: str) -> None:
    modules = modules_of("engine")
    core = [name for name in modules if not name.startswith(("engine.pocket.", "engine.evaluate."))]
    chosen = core if part == "core" else ["engine", "engine.pocket"]
    loaded = loaded_by(chosen)
    assert loaded & FRONT_END == set()
    assert ("torch" in loaded) == (part == "core")
