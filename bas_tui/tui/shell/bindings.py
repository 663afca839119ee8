"""The registry of keys: footer, help, palette and the keymap file derive from it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.keys import _character_to_key  # pyright: ignore[reportPrivateUsage]

from bas_tui.tui.shell.key import Key

_SYMBOLS = {
    "left": "←", "right": "→", "up": "↑", "down": "↓", "enter": "⏎", "escape": "esc",
    "space": "spc", "delete": "del", "pageup": "pgup", "pagedown": "pgdn", "backspace": "bksp",
}  # fmt: skip
_PUNCTUATION = {_character_to_key(char): char for char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}


class Registry:
    """All keys of the application, in the order of the help and the keymap file."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self.by_id = {key.id: key for key in self.keys}

    def scope(self, name: str) -> tuple[Key, ...]:
        """The keys of a scope: `app`, a screen's name, or a widget's such as `canvas`."""
        return scope(self.keys, name)


def scope(keys: Iterable[Key], name: str) -> tuple[Key, ...]:
    """Those of `keys` that belong to a scope."""
    return tuple(key for key in keys if key.id.partition(".")[0] == name)


def bindings_of(keys: Iterable[Key], name: str) -> list[BindingType]:
    """Textual bindings of a scope, for a class's BINDINGS."""
    return [
        Binding(
            key.keys, key.action, key.label, id=key.id, show=key.show, tooltip=key.help,
            priority=key.priority,
        )
        for key in scope(keys, name)
    ]  # fmt: skip


def display(key: str) -> str:
    """A key as people write it: `ctrl+p` -> `^p`, `question_mark` -> `?`, `f1` -> `F1`."""
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    last = _PUNCTUATION.get(last) or _SYMBOLS.get(last, last)
    if len(last) > 1 and last[0] == "f" and last[1:].isdigit():
        last = last.upper()
    marks = {"ctrl": "^", "shift": "⇧", "alt": "alt+"}
    return "".join(marks.get(modifier, f"{modifier}+") for modifier in modifiers) + last


def keys_of(key: Key, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The key names that do it, after the person's keymap."""
    return tuple(name.strip() for name in keymap.get(key.id, key.keys).split(","))


def read_keymap(path: Path, registry: Registry) -> tuple[dict[str, str], list[str]]:
    """The person's keymap and one line for each thing wrong with it; a missing file is empty."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"the keymap file is not read: {error}"]
    keymap: dict[str, str] = {}
    problems: list[str] = []
    for name, keys in table.get("keys", {}).items():
        if name not in registry.by_id:
            problems.append(f"the keymap names no action {name!r}")
        elif not isinstance(keys, str) or not all(part.strip() for part in keys.split(",")):
            problems.append(f"the keymap gives {name} no keys; write e.g. {name!r} = 'x,ctrl+x'")
        else:
            keymap[name] = ",".join(part.strip() for part in keys.split(","))
    return keymap, problems


def keymap_text(registry: Registry) -> str:
    """A keymap file with every action, its help and its default keys as comments."""
    lines = [
        "# Keys of the terminal application: take the '#' away and change what you like.",
        "# Several keys are separated by commas; names are Textual's: a, A, f1, ctrl+a, space.",
        "",
        "[keys]",
    ]
    for key in registry.keys:
        lines += [f"# {key.help}", f'# "{key.id}" = "{key.keys}"']
    return "\n".join(lines) + "\n"
