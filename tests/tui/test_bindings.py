"""The registry of bindings: what footer, help, palette and keymap derive from."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from textual.binding import Binding

from bas_tui.tui.app import BasApp
from bas_tui.tui.screens import REGISTRY, SCREEN_CLASSES
from bas_tui.tui.shell.bindings import bindings_of, display, keymap_text, keys_of, read_keymap

BY_ID, KEYS, scope = REGISTRY.by_id, REGISTRY.keys, REGISTRY.scope

EATEN = re.compile(r"ctrl\+|alt\+|shift\+|^f\d+$|^(delete|home|end|pageup|pagedown|insert)$")
"""Keys that tmux, an editor's terminal or a Mac keyboard may keep for itself."""


def test_ids_are_unique_and_every_key_has_help() -> None:
    assert len(BY_ID) == len(KEYS)
    for key in KEYS:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", key.id)
        assert key.help.endswith(".")
        assert key.label


def test_no_key_does_two_things_in_one_scope() -> None:
    for name in {key.id.partition(".")[0] for key in KEYS}:
        names = [part.strip() for key in scope(name) for part in key.keys.split(",")]
        assert len(names) == len(set(names)), name


def test_every_key_that_may_be_eaten_has_a_plain_twin() -> None:
    for key in KEYS:
        if key.priority:
            continue  # For places where plain keys are text.
        if key.id == "app.interrupted":
            continue  # Only says what to press instead.
        names = [part.strip() for part in key.keys.split(",")]
        assert any(not EATEN.search(name) for name in names), key.id


@pytest.mark.parametrize("name", ["app", "runs", "train"])
def test_every_action_exists(name: str) -> None:
    if name == "app":
        owner: type = BasApp
    else:
        module, cls = SCREEN_CLASSES[name]
        owner = getattr(import_module(module), cls)
    for key in scope(name):
        action = key.action.removeprefix("app.").partition("(")[0]
        target = BasApp if key.action.startswith("app.") else owner
        assert hasattr(target, f"action_{action}"), key.id


def test_bindings_carry_the_registry() -> None:
    bindings = bindings_of(KEYS, "runs")
    assert len(bindings) == len(scope("runs"))
    for binding, key in zip(bindings, scope("runs"), strict=True):
        assert isinstance(binding, Binding)
        assert (binding.id, binding.key, binding.description) == (key.id, key.keys, key.label)


@pytest.mark.parametrize(
    ("key", "shown"),
    [("ctrl+p", "^p"), ("question_mark", "?"), ("f1", "F1"), ("x", "x"), ("left", "←"),
     ("enter", "⏎"), ("R", "R")],
)  # fmt: skip
def test_keys_as_people_write_them(key: str, shown: str) -> None:
    assert display(key) == shown


def test_the_keymap_file_changes_keys_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    assert read_keymap(path, REGISTRY) == ({}, [])
    path.write_text('[keys]\n"runs.open" = "o, ctrl+o"\n"runs.fly" = "f"\n"runs.stop" = ""\n')
    keymap, problems = read_keymap(path, REGISTRY)
    assert keymap == {"runs.open": "o,ctrl+o"}
    assert keys_of(BY_ID["runs.open"], keymap) == ("o", "ctrl+o")
    assert keys_of(BY_ID["runs.stop"], keymap) == ("x",)
    assert len(problems) == 2
    assert "runs.fly" in problems[0]
    path.write_text("[keys\n")
    assert read_keymap(path, REGISTRY)[1]


def test_the_written_keymap_is_valid_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "keymap.toml"
    path.write_text(re.sub(r'^# (".*)$', r"\1", keymap_text(REGISTRY), flags=re.MULTILINE))
    keymap, problems = read_keymap(path, REGISTRY)
    assert problems == []
    assert keymap == {key.id: key.keys for key in KEYS}
