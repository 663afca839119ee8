"""What there is to choose from: base models and settings."""

from __future__ import annotations

import ast
import inspect
from typing import NamedTuple

from bas_tui.cli import options, stderr, stdout


def models(as_json: options.JsonOption = False) -> None:
    """List the named base models, whether they are on this machine, and their licences.

    Example:  bas models

    --base also takes a diffusers folder, a .safetensors file, or any hub id, of every family that
    is installed.
    """
    from bas_tui.client.bases import is_local
    from engine.models.kinds import kinds
    from engine.models.names import BASE_MODELS, default_base

    default = default_base()
    rows: list[tuple[str, ...]] = []
    for model in BASE_MODELS.values():
        where = "embedded" if model.folder else "on this machine" if is_local(model) else "download"
        resolution = model.settings.get("resolution", model.resolution)
        if as_json:
            stdout.json_line(
                {
                    "name": model.name,
                    "title": model.title,
                    "where": where,
                    "default": model.name == default,
                    "family": model.kind,
                    "resolution": resolution,
                    "licence": model.licence,
                    "repositories": model.repositories,
                    "unet_sha256": model.unet_sha256,
                }
            )
        name = f"{model.name} (default)" if model.name == default else model.name
        rows.append((name, model.title, f"{resolution} px", where, model.licence))
    if as_json:
        return
    stdout.table(
        ("name", "", "pictures", "where", "licence"), rows, ("bold", "", "", "cyan", "dim")
    )
    families = ", ".join(kind.title for kind in kinds())
    stderr.say("--base also takes a diffusers folder, a .safetensors file, or any hub id")
    stderr.say(f"families: {families}")


def settings(as_json: options.JsonOption = False) -> None:
    """List every setting with its default, for --set and --settings files.

    Example:  bas train desk.jpg --masks teapot.png --set phase1.steps=200
    """
    found = documented_settings()
    if as_json:
        for setting in found:
            stdout.json_line(setting._asdict())
        return
    stdout.table(
        ("setting", "default", "what"),
        [(s.key, _text(s.default), _explain(s)) for s in found],
        ("bold", "cyan", ""),
    )
    stderr.say("change one with --set KEY=VALUE, many with --settings FILE.toml")


class Setting(NamedTuple):
    """A setting as `engine.core.config` declares it; `help` is its attribute docstring."""

    key: str
    default: object
    takes: str
    help: str


def documented_settings() -> list[Setting]:
    """Every setting in declaration order."""
    import typing

    from engine.core import config, method_config
    from engine.core.settings import flatten, setting_keys, to_table

    helps = {
        name: text
        for module in (method_config, config)
        for name, text in _attribute_docstrings(inspect.getsource(module)).items()
    }
    defaults = flatten(to_table(config.TrainConfig()))
    groups: dict[str, str] = {
        name: hint.__name__
        for name, hint in typing.get_type_hints(config.TrainConfig).items()
        if isinstance(hint, type)
    }
    found: list[Setting] = []
    for key, hint in setting_keys().items():
        group, dot, attribute = key.rpartition(".")
        owner = groups[group] if dot else "TrainConfig"
        text = helps.get((owner, attribute), "")
        found.append(Setting(key, defaults[key], _takes(hint), text))
    return found


def _attribute_docstrings(source: str) -> dict[tuple[str, str], str]:
    """The string below each annotated attribute, by class and attribute name, on one line."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                text = " ".join(after.value.value.split())
                found[node.name, before.target.id] = text
    return found


def _takes(hint: object) -> str:
    import typing

    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    choices = typing.get_args(hint)
    if choices:
        return "/".join(str(choice) for choice in choices)
    return words.get(hint, str(hint)) if isinstance(hint, type) else str(hint)


def _explain(setting: Setting) -> str:
    """The docstring; what the setting takes where that says more than its default."""
    if not setting.help:
        return setting.takes
    return f"{setting.help} ({setting.takes})" if "/" in setting.takes else setting.help


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
