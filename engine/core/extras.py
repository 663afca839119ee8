"""Packages of the optional extras: looked for before work begins, not when it is half done."""

from __future__ import annotations

from importlib.util import find_spec

from engine.core.errors import UserError


def need(module: str, extra: str, what: str = "this") -> None:
    """Raise UserError where a package of an optional extra is not installed."""
    if find_spec(module) is None:
        raise UserError(f"{what} needs the extra {extra!r}", f"pip install 'bas-tui[{extra}]'")
