"""Segmentation models from a folder: random weights answer in the right form, or refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import UserError
from engine.scenes.pixel_box import Box, Point
from engine.segments import click_models, measure, word_models
from engine.segments.choose import segmenter_of
from engine.segments.contract import Click
from engine.segments.model_files import find_model
from tests.segments import tiny_models as tiny
from tests.segments.test_embedded import SCENE

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
AT = [Click(Point(20, 20))]


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_sam2(tmp_path_factory.mktemp("models") / "sam2")


@pytest.mark.parametrize("make", [tiny.tiny_sam, tiny.tiny_sam2, tiny.tiny_sam3_clicks])
def test_clicks_and_boxes(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = segmenter_of(str(make(tmp_path / "model")), device="cpu")
    assert not segmenter.reads_words
    read = segmenter.read(IMAGE)
    one = read.at(AT)
    assert 1 <= len(one) <= 3 and all(c.mask.shape == (48, 80) for c in one)
    assert [c.score for c in one] == sorted((c.score for c in one), reverse=True)
    assert len(read.at([*AT, Click(Point(60, 30), adds=False)])) == 1, "one meaning is left"
    assert read.at(box=Box(5, 5, 50, 40)) and read.at(AT, Box(5, 5, 50, 40))
    again = read.at(AT)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(one, again, strict=True))
    with pytest.raises(UserError, match="nothing says where"):
        read.at([Click(Point(500, 5))])
    with pytest.raises(UserError, match="no words"):
        read.named("teapot")
    # Random weights are sure of nothing.
    monkeypatch.setattr(click_models, "SURE", -1.0)
    monkeypatch.setattr(click_models, "STEADY", 0.0)
    seen: list[tuple[int, int]] = []
    assert read.everything(lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0 and seen[-1] == (144, 144)


def test_a_picture_is_put_where_the_model_expects_it() -> None:
    """A decoder that answers with its own prompts shows the way there and back."""
    asked: list[np.ndarray] = []

    def decode(points: object, labels: object, boxes: object, several: bool) -> tuple:
        del labels, boxes, several
        at = np.asarray(points)[0, 0, 0]
        asked.append(at)
        y, x = np.mgrid[0:64, 0:64]
        # A disc of 8 around the point, at the square's own 64 pixels.
        logits = 8.0 - np.hypot(x + 0.5 - at[0], y + 0.5 - at[1])
        return logits[None, None].astype(np.float32), np.array([[0.9]], np.float32)

    # Kept aspect: 80x40 becomes 64x32 in the upper part; stretched: 64x64.
    for size in ((64, 32), (64, 64)):
        picture = click_models.ClickPicture((40, 80), size, 64, decode, "test")
        (found,) = picture.at([Click(Point(50, 20))])
        assert tuple(asked[-1]) == (40, 20 * size[1] / 40)
        rows, columns = np.nonzero(found.mask)
        assert abs(columns.mean() + 0.5 - 50) < 1 and abs(rows.mean() + 0.5 - 20) < 1
        assert found.mask[:, 50].sum() == pytest.approx(16 * 40 / size[1], abs=2)


@pytest.mark.parametrize("make", [tiny.tiny_clipseg, tiny.tiny_grounding_dino, tiny.tiny_sam3])
def test_words(
    make: Callable[[Path], Path], sam2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_models, "DINO_SIDES", (64, 128))
    folder = str(make(tmp_path / "model"))
    worded = segmenter_of(str(sam2), folder, device="cpu")
    assert worded.reads_words
    read = worded.read(IMAGE)
    assert read.at(AT)[0].source == "SAM 2"
    with pytest.raises(UserError, match="no words were given"):
        read.named(" ")
    for bar, finds in ((1.1, False), (0.0, True)):
        for kind in word_models.LEAST_SURE:
            monkeypatch.setitem(word_models.LEAST_SURE, kind, bar)
        if finds:
            found = read.named("a red teapot")
            assert found and all(c.mask.shape == (48, 80) and c.mask.any() for c in found)
            cut = make is not tiny.tiny_sam3
            assert any(c.source.endswith(", then SAM 2") for c in found) is cut
        else:
            with pytest.raises(UserError, match="no a red teapot was found"):
                read.named("a red teapot")
    # Alone it reads words, and the embedded segmenter takes the clicks.
    alone = segmenter_of(folder, device="cpu")
    assert alone.reads_words and alone.read(IMAGE) is not None
    with pytest.raises(UserError, match="takes no clicks"):
        segmenter_of(folder, folder, device="cpu")


def test_what_does_not_serve_is_said_in_a_line(
    sam2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "empty").mkdir()
    broken = tiny.of_type(tmp_path / "broken", "sam2")
    incomplete = tmp_path / "incomplete"
    tiny.tiny_clipseg(incomplete)
    (incomplete / "config.json").write_text((sam2 / "config.json").read_text())
    for name, words in {
        "nothing": "no segmenter",
        "owner/name@v1": "cannot reach the model hub",
        str(tmp_path / "empty"): "no model of transformers",
        str(tiny.of_type(tmp_path / "bert", "bert")): "is a bert model",
        str(broken): "cannot load",
        str(incomplete): "lacks weights of Sam2Model",
        str(tiny.of_type(tmp_path / "tam", "edgetam_video")): "package timm|cannot load",
    }.items():
        with pytest.raises(UserError, match=words) as refusal:
            segmenter_of(name, device="cpu")
        assert refusal.value.remedy and "\n" not in f"{refusal.value}"
    with pytest.raises(UserError, match="reads no words"):
        segmenter_of("embedded", str(sam2))
    assert find_model(str(sam2), lambda _: None).cuts


def test_the_harness_measures_a_model_from_a_folder(
    sam2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure.main([str(SCENE), "--segmenter", str(sam2), "--only"]) == 0
    table = capsys.readouterr().out
    assert table.count(f"| {sam2} |") >= 6, "two things by box and by click, and their means"
