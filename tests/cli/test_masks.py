"""`bas masks`: plain masks that `bas train` finds, or one line that helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import engine
from engine.scenes.scene import load_scene
from engine.segments.candidates import iou

SCENE = Path(engine.__file__).parent / "pocket" / "scenes" / "teapot_penguin"
Bas = Callable[..., Result]


def test_a_click_a_thing(bas: Bas, tmp_path: Path) -> None:
    from engine.segments.measure import deepest

    truth = load_scene(SCENE)
    photo = tmp_path / "photo.png"
    shutil.copy(SCENE / "scene.png", photo)
    at = deepest(truth.concepts[0].mask)
    words = ("masks", photo, "--point", f"tea pot={int(at.x)},{int(at.y)}")
    result = bas(*words)
    assert result.exit_code == 0, result.output
    (concept,) = load_scene(photo).concepts
    assert concept.name == "tea_pot" and iou(concept.mask, truth.concepts[0].mask) > 0.5
    again = bas(*words)
    assert again.exit_code == 2 and "already" in again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing says where"),
        (("--point", "3,4"), "names no thing"),
        (("--box", "cat=1,2,3"), "cannot be read"),
        (("--pick", "cat=1"), "no thing is named"),
        (("--point", "cat=3,4", "--pick", "cat=0"), "no candidate"),
    ],
)
def test_mistakes(bas: Bas, desk: Path, words: tuple[str, ...], said: str) -> None:
    result = bas("masks", desk / "img.png", *words)
    assert result.exit_code == 2 and said in result.output
    assert not (desk / "img_masks").exists()
