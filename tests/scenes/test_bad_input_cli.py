"""Bad scenes through `bas train`: exit code 2, one line with the remedy, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bas_tui.cli import stderr
from bas_tui.cli.main import app
from bas_tui.cli.train import ask_and_load
from engine.scenes.scene import InvertedMasksError
from tests.scenes.bad_files import DAMAGE, SIZE, good_image, good_mask

Words = list[str | Path]


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(folder: Path, words: Words, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run `bas train WORDS`; the one line it answers with."""
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("BAS_HOME", str(home))
    before = snapshot(folder)
    result = CliRunner().invoke(app, ["train", *map(str, words), "--base", "pocket", "--detach"])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert "Traceback" not in line and " - " in line
    assert snapshot(folder) == before
    return line


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "folder"])
def test_bad_image(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = DAMAGE[damage]
    make(tmp_path / "photo.png")
    words: Words = [tmp_path / "photo.png", "--masks", good_mask(tmp_path)]
    assert message in refused(tmp_path, words, monkeypatch)


@pytest.mark.parametrize("damage", DAMAGE)
def test_bad_mask(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = DAMAGE[damage]
    make(tmp_path / "cup.png")
    words: Words = [good_image(tmp_path), "--masks", tmp_path / "cup.png"]
    assert message in refused(tmp_path, words, monkeypatch)


def no_mask(folder: Path) -> Words:
    return [good_image(folder)]


def empty_mask_folder(folder: Path) -> Words:
    (folder / "m").mkdir()
    return [good_image(folder), "--masks", folder / "m"]


def other_size(folder: Path) -> Words:
    Image.new("L", (48, 40), 255).save(folder / "cup.png")
    return [good_image(folder), "--masks", folder / "cup.png"]


def black(folder: Path) -> Words:
    Image.new("L", SIZE).save(folder / "cup.png")
    return [good_image(folder), "--masks", folder / "cup.png"]


def a_photo(folder: Path) -> Words:
    Image.linear_gradient("L").resize(SIZE).save(folder / "cup.png")
    return [good_image(folder), "--masks", folder / "cup.png"]


def inverted(folder: Path) -> Words:
    mask = np.full(SIZE[::-1], 255, np.uint8)
    mask[20:60, 20:60] = 0
    Image.fromarray(mask).save(folder / "cup.png")
    return [good_image(folder), "--masks", folder / "cup.png"]


def no_image(folder: Path) -> Words:
    (folder / "empty").mkdir()
    return [folder / "empty"]


def several_images(folder: Path) -> Words:
    good_image(folder).rename(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    return [folder]


def tiny_image(folder: Path) -> Words:
    Image.new("RGB", (500, 20)).save(folder / "img.png")
    return [folder / "img.png", "--masks", good_mask(folder)]


def too_far_apart(folder: Path) -> Words:
    Image.new("RGB", (400, 100)).save(folder / "img.png")
    for name, left in (("cup", 0), ("pen", 320)):
        mask = np.zeros((100, 400), np.uint8)
        mask[10:90, left : left + 60] = 255
        Image.fromarray(mask).save(folder / f"mask_{name}.png")
    return [folder]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_mask, "there is no mask"),
        (empty_mask_folder, "holds no masks"),
        (other_size, "is 48x40, the image 96x96"),
        (black, "is empty"),
        (a_photo, "looks like a photo"),
        (inverted, "looks inverted"),
        (no_image, "no image"),
        (several_images, "several pictures"),
        (tiny_image, "500x20"),
        (too_far_apart, "too far apart"),
    ],
)
def test_bad_scene(
    tmp_path: Path,
    make: Callable[[Path], Words],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert message in refused(tmp_path, make(tmp_path), monkeypatch)


def test_inverted_masks_are_asked_about_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, _, mask = inverted(tmp_path)
    monkeypatch.setattr(stderr, "is_interactive", lambda: True)
    questions: list[str] = []

    def answer(text: str) -> Callable[[str], str]:
        return lambda question: questions.append(question) or text

    for text, share in (("y", 40 * 40), ("n", 96 * 96 - 40 * 40)):
        monkeypatch.setattr(stderr, "ask", answer(text))
        (concept,) = ask_and_load(Path(scene), [Path(mask)]).concepts
        assert concept.mask.sum() == share
    monkeypatch.setattr(stderr, "ask", answer(""))
    with pytest.raises(InvertedMasksError):
        ask_and_load(Path(scene), [Path(mask)])
    assert len(questions) == 3
    (concept,) = ask_and_load(Path(scene), [Path(mask)], inverted=True).concepts
    assert concept.mask.sum() == 40 * 40 and len(questions) == 3
