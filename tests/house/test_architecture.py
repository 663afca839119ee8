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


def documented_rooms() -> dict[str, tuple[str, list[str]]]:
    """What each room of the engine is and its modules, lowest first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| room of `engine`, lowest first | what | modules |", 1)[1]
    rows = [row.strip("|").split("|") for row in table.split("\n\n", 1)[0].splitlines()]
    return {
        room.strip(" `"): (what, re.findall(r"`(\w+)`", modules))
        for room, what, modules in (row for row in rows if len(row) == 3)
        if "---" not in room
    }


def contract_layers() -> list[list[str]]:
    """The rooms of each layer of the import contract, lowest first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract["id"] == "rooms"
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
        "import gc, importlib, sys\n"
        "gc.disable()\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_the_table_and_the_contract_agree() -> None:
    rooms = list(documented_rooms())
    layers = contract_layers()
    assert sorted([*rooms, "api", "__main__"]) == sorted(room for row in layers for room in row)
    height = {room: k for k, row in enumerate(layers) for room in row}
    assert [height[room] for room in rooms] == sorted(height[room] for room in rooms)


def test_the_table_names_the_modules_that_exist() -> None:
    for room, (_, modules) in documented_rooms().items():
        there = {path.stem for path in (ROOT / "engine" / room).glob("*.py")} - {"__init__"}
        if modules:
            assert sorted(modules) == sorted(there), room


def test_every_room_is_in_the_table() -> None:
    there = {path.parent.name for path in (ROOT / "engine").glob("*/__init__.py")}
    assert there == set(documented_rooms())


def test_words_and_user_images_load_no_torch() -> None:
    modules = [
        f"engine.{room}.{module}"
        for room, (what, names) in documented_rooms().items()
        if "no torch" in what
        for module in names
    ]
    assert len(modules) > 8
    assert loaded_by(["engine", "engine.pocket", *modules]) & TORCH == set()


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
