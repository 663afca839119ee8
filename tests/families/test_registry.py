"""Families register by entry point: a new one is a file, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.models.detection import check_folder
from engine.models.facts import recipe_settings
from engine.models.kinds import kinds
from engine.models.names import check_base

FAMILY = Path(__file__).with_name("toy_family.py")


def test_a_family_is_a_file(toy_family: Path) -> None:
    assert [kind.name for kind in kinds()] == ["stable-diffusion", "stable-diffusion-xl", "toy"]
    assert check_folder(toy_family).name == "toy"
    assert check_base(str(toy_family)).kind == "folder"
    assert recipe_settings(str(toy_family)) == {"sampling.guidance": 2.0}


def test_it_takes_less_than_a_hundred_lines() -> None:
    assert len(FAMILY.read_text(encoding="utf-8").splitlines()) < 100


def test_without_its_entry_point_it_is_refused(toy_folder: Path) -> None:
    with pytest.raises(UserError, match="is a ToyPipeline model; only Stable Diffusion"):
        check_folder(toy_folder)


def test_a_broken_family_is_named(toy_folder: Path, register: object) -> None:
    assert callable(register)
    register("broken = toy_family:NOTHING")
    with pytest.raises(UserError, match="the family broken does not load"):
        check_folder(toy_folder)
