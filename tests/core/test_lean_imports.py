"""Hidden packages are hidden for as long as said."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

from engine.core.lean_imports import UNUSED, lean_imports


def test_packages_are_hidden_within_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNUSED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = dict(sys.modules)
    with pytest.raises(ZeroDivisionError), lean_imports():
        assert not gc.isenabled()
        for name in UNUSED:
            assert find_spec(name) is None
            with pytest.raises(ModuleNotFoundError):
                import_module(name)
        raise ZeroDivisionError
    assert gc.isenabled() and sys.modules == before
    present = sys.modules[UNUSED[0]] = sys
    with lean_imports():
        assert import_module(UNUSED[0]) is present
