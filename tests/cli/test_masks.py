"""`bas masks`: plain masks that `bas train` finds, or one line that helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import engine
from bas_tui.cli.mask_words import asked_things
from engine.scenes.mask_ops import difference_box
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


def test_words_and_everything(bas: Bas, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    shutil.copy(SCENE / "scene.png", photo)
    result = bas("masks", photo, "teapot")
    assert result.exit_code == 2 and "no words" in result.output and "--words-by" in result.output
    box = difference_box(np.zeros((512, 512), np.bool_), load_scene(SCENE).concepts[0].mask)
    # Any two opposite corners.
    result = bas("masks", photo, "--box", f"teapot={box.x1},{box.y0},{box.x0},{box.y1}")
    assert result.exit_code == 0, result.output
    assert iou(load_scene(photo).concepts[0].mask, load_scene(SCENE).concepts[0].mask) > 0.5


def test_what_is_asked_of_which_thing() -> None:
    things = asked_things(
        ["tea pot", "cat"], ["cat=10,20"], ["dog=40,30,20,10"], ["dog=2"],
        size=(200, 100), seen=(100, 50),
    )  # fmt: skip
    assert [(t.name, t.words, t.pick) for t in things] == [
        ("tea_pot", "tea pot", 1), ("cat", "", 1), ("dog", "", 2),
    ]  # fmt: skip
    assert things[1].clicks[0].at == (5.25, 10.25) and things[2].box == (10, 5, 20, 15)
    (picked,) = asked_things((), (), (), ["cup=3"], size=(9, 9), seen=(9, 9), everything=True)
    assert (picked.name, picked.pick) == ("cup", 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing says where"),
        (("--point", "3,4"), "names no thing"),
        (("--box", "cat=1,2,3"), "cannot be read"),
        (("--pick", "cat=1"), "no thing is named"),
        (("--point", "cat=3,4", "--pick", "cat=0"), "no candidate"),
        (("--point", "cat=9000,4"), "outside the photo"),
        (("--box", "cat=9000,4,9100,20"), "outside the photo"),
        (("--everything", "--box", "cat=1,2,30,40"), "looks for all"),
        ((" ",), "needs a word"),
    ],
)
def test_mistakes(bas: Bas, desk: Path, words: tuple[str, ...], said: str) -> None:
    result = bas("masks", desk / "img.png", *words)
    assert result.exit_code == 2 and said in result.output
    assert not (desk / "img_masks").exists()
