"""Requests to the generation host, as objects and as protocol lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.runs.folder import RunDir
from engine.runs.requests import EditRegion, GenerationRequest, PhotoEdit, ThingPlace


def test_a_line_holds_the_whole_request(tmp_path: Path) -> None:
    regions = tuple(
        EditRegion(mask=tmp_path / f"{k}.png", prompt=f"<asset{k}>", box=(0.1, 0, 1, 1)[: 4 * k])
        for k in (0, 1)
    )
    edit = PhotoEdit(photo=tmp_path / "a.jpg", regions=regions, start=0.5)
    common = {"run": RunDir(tmp_path), "out": tmp_path / "out"}
    places = (ThingPlace(token="<cup>", x=0.1, y=0.2, width=0.3),)
    for request in (
        GenerationRequest(**common, prompt=edit.prompts, edit=edit, count=3),
        GenerationRequest(
            **common, prompt="<cup> <rex>", places=places, noise=0.7, count=2, pick=1
        ),
        GenerationRequest(**common, prompt="x", picture=tmp_path / "p.png", noise=0.5),
    ):
        assert GenerationRequest.parse(json.loads(request.line())) == request
        assert request.prompts[0] in request.prompt


def test_a_region_is_a_mask_or_a_box() -> None:
    assert EditRegion.parse("10,20,50.5,90", "x").box == (0.1, 0.2, 0.505, 0.9)
    assert EditRegion.parse("m.png", "x") == EditRegion(mask=Path("m.png"), prompt="x")
    for wrong in ("50,20,10,90", "0,0,50,101"):
        with pytest.raises(UserError, match="no box"):
            EditRegion.parse(wrong, "x")


@pytest.mark.parametrize("text", ["cup", "cup=1", "cup=1,2,3,4", "=1,2", "cup=a,b", "cup=10,120"])
def test_a_place_is_a_middle_and_perhaps_a_width(text: str) -> None:
    with pytest.raises(UserError):
        ThingPlace.parse(text)
    place = ThingPlace(token="<cup>", x=0.3, y=0.6, width=0.4)
    assert ThingPlace.parse("<cup>=30,60,40") == place == ThingPlace.parse("cup = 30, 60,40")


def test_what_begins_with_noise_alone_has_no_places(tmp_path: Path) -> None:
    placed = {"run": RunDir(tmp_path), "out": tmp_path, "prompt": "<cup>", "arrange": True}
    GenerationRequest(**placed, noise=0.95).check()
    with pytest.raises(UserError, match="nothing has a place"):
        GenerationRequest(**placed).check()
