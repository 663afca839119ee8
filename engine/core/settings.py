"""Reads a TrainConfig from defaults, TOML tables and `key=value` words, in this order."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from engine.core.config import TrainConfig
from engine.core.errors import UserError


def setting_keys(cls: type = TrainConfig, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of the configuration with its type, in declaration order."""
    keys: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            keys |= setting_keys(hint, f"{prefix}{field.name}.")
        else:
            keys[f"{prefix}{field.name}"] = hint
    return keys


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"phase1": {"steps": 3}} -> {"phase1.steps": 3}."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse_words(words: Iterable[str]) -> dict[str, str]:
    """`["phase1.steps=20"]` -> `{"phase1.steps": "20"}`; raises UserError without an `=`."""
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"--set {word!r} is no key=value", "write it like --set phase1.steps=20"
            )
        values[key.strip()] = value.strip()
    return values


def setting_words(settings: Mapping[str, Any]) -> list[str]:
    """`{"phase1.steps": 20}` -> `["phase1.steps=20"]`, as `parse_words` reads them."""
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in settings.items()
    ]


def set_flags(settings: Mapping[str, Any]) -> str:
    """` --set phase1.steps=20` for each setting, as a shell reads them."""
    return "".join(f" --set {shlex.quote(word)}" for word in setting_words(settings))


def read_toml(path: Path) -> dict[str, Any]:
    """Dotted settings of a TOML file; raises UserError when it cannot be read."""
    try:
        return flatten(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(
            f"cannot read the settings file {path}: {error.strerror}", "check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "mend the file") from error


def build_config(*layers: Mapping[str, Any]) -> TrainConfig:
    """A TrainConfig from dotted settings; later layers win, defaults fill the rest."""
    keys = setting_keys()
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in keys:
                close = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {close[0]}?" if close else "`bas settings` lists them"
                raise UserError(f"there is no setting {key!r}", hint)
            merged[key] = _convert(key, value, keys[key])
    return _construct(TrainConfig, merged, "")


def to_table(config: Any) -> dict[str, Any]:
    """The configuration as nested tables of plain values, ready for TOML."""
    return dataclasses.asdict(config)


def _construct(cls: type, merged: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        key = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            values[field.name] = _construct(hint, merged, f"{key}.")
        elif key in merged:
            values[field.name] = merged[key]
    return cls(**values)


def _convert(key: str, value: Any, hint: Any) -> Any:
    wrong = UserError(f"{key} cannot be {value!r}", f"give it {_describe(hint)}")
    if typing.get_origin(hint) is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise wrong
    if hint is bool:
        if isinstance(value, bool):
            return value
        word = str(value).lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
        raise wrong
    if isinstance(value, bool):
        raise wrong
    try:
        if hint is int and isinstance(value, float) and not value.is_integer():
            raise wrong
        return hint(value)
    except (ValueError, TypeError) as error:
        raise wrong from error


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(str(arg) for arg in typing.get_args(hint))
    names: dict[Any, str] = {
        int: "a whole number", float: "a number", bool: "true or false", str: "a text"
    }  # fmt: skip
    if isinstance(hint, types.UnionType):
        return " or ".join(_describe(arg) for arg in typing.get_args(hint))
    return names.get(hint, str(hint))
