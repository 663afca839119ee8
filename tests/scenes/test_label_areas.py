"""One label picture in many files: the same masks every time, or a refusal, never others."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from engine.core.errors import UserError
from engine.scenes.image_files import Photo
from engine.scenes.label_areas import Unclear, find_areas
from engine.scenes.mask_files import load_masks

SIDE = 192


def random_labels(rng: np.random.Generator, things: int) -> np.ndarray:
    """Ellipses, boxes and turned boxes, one per label, over a background of 0."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    labels = np.zeros((SIDE, SIDE), np.uint8)
    centres = np.array([(0.28, 0.3), (0.7, 0.65), (0.25, 0.78), (0.74, 0.2)])
    for label in range(1, things + 1):
        across, down = (
            np.array([x, y]) - (centres[label - 1] + rng.uniform(-0.03, 0.03, 2))[:, None, None]
        )
        wide, high = rng.uniform(0.11, 0.19, 2)
        turn = rng.uniform(0, np.pi) if rng.random() < 0.4 else 0.0
        u = across * np.cos(turn) + down * np.sin(turn)
        v = down * np.cos(turn) - across * np.sin(turn)
        if rng.random() < 0.5:
            labels[(u / wide) ** 2 + (v / high) ** 2 < 1] = label
        else:
            labels[(abs(u) < wide) & (abs(v) < high)] = label
    return labels


def random_colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """Black and `count` colours that a person can tell apart."""
    colours = [np.zeros(3, np.int64)]
    while len(colours) <= count:
        colour = rng.integers(0, 256, 3)
        if min(np.abs(colour - other).max() for other in colours) > 60:
            colours.append(colour)
    return np.array(colours, np.uint8)


def written(labels: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """The picture as programs save it: a file name and its bytes."""
    things = int(labels.max())
    colours = random_colours(rng, things)
    rgb = Image.fromarray(colours[labels])
    levels = np.linspace(0, 255, things + 1).round().astype(np.uint8)
    grey = Image.fromarray(levels[labels])
    order = rng.permutation(things + 1)
    indexed = Image.fromarray(np.argsort(order).astype(np.uint8)[labels], mode="P")
    indexed.putpalette(colours[order].ravel().tolist())
    alpha = Image.fromarray((labels > 0).astype(np.uint8) * 255)
    layers = rgb.copy()
    layers.putalpha(alpha)
    hidden = Image.fromarray(np.where(labels[..., None] > 0, colours[labels], 90).astype(np.uint8))
    hidden.putalpha(alpha)
    yield "rgb.png", encoded(rgb, "PNG")
    yield "indexed.png", encoded(indexed, "PNG")
    yield "quantised.png", encoded(rgb.quantize(16), "PNG")
    yield "grey.png", encoded(grey, "PNG")
    yield "numbers.png", encoded(Image.fromarray(labels), "PNG")
    yield "numbers16.png", encoded(Image.fromarray(labels.astype(np.uint16) * 1000), "PNG")
    yield "layers.png", encoded(layers, "PNG")
    yield "hidden.png", encoded(hidden, "PNG")
    yield "rgb.webp", encoded(rgb, "WEBP", quality=80)
    for quality in (90, 60, 25):
        yield f"rgb{quality}.jpg", encoded(rgb, "JPEG", quality=quality)
        yield f"grey{quality}.jpg", encoded(grey, "JPEG", quality=quality)
    yield "numbers.jpg", encoded(Image.fromarray(labels), "JPEG", quality=90)
    for radius in (0.6, 1.2, 4):
        soft = ImageFilter.GaussianBlur(radius)
        yield f"soft{radius}.png", encoded(rgb.filter(soft), "PNG")
        yield f"softgrey{radius}.png", encoded(grey.filter(soft), "PNG")
    twice = io.BytesIO(encoded(rgb, "JPEG", quality=70))
    yield "jpeg-saved-as.png", encoded(Image.open(twice), "PNG")


def encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


@pytest.mark.parametrize("seed", range(4))
def test_the_same_masks_in_every_file_or_a_refusal(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = random_labels(rng, 2 + seed % 3)
    truth = [labels == k for k in range(1, int(labels.max()) + 1)]
    photo = Photo(np.full((SIDE, SIDE, 3), 120, np.uint8), [], None)
    refused: Counter[str] = Counter()
    for name, data in written(labels, rng):
        (tmp_path / name).write_bytes(data)
        try:
            found = [c.mask for c in load_masks([tmp_path / name], photo, Path("p.jpg")).concepts]
        except UserError as error:
            assert error.remedy
            refused[name] += 1
            continue
        assert len(found) == len(truth), name
        for mask in truth:
            assert max(iou(mask, other) for other in found) > 0.95, name
    # Hard edges are always read; what was blurred or compressed hard may be refused.
    hard = ("rgb", "indexed", "quantised", "grey", "numbers", "numbers16", "layers", "hidden")
    assert not {f"{name}.png" for name in hard} & set(refused)
    assert refused.total() <= 12


def test_what_cannot_be_told_apart_is_said() -> None:
    labels = random_labels(np.random.default_rng(5), 2)
    near = Image.fromarray(np.array([0, 100, 120], np.uint8)[labels])
    soft = np.asarray(near.filter(ImageFilter.GaussianBlur(1)))
    with pytest.raises(Unclear, match="nearly the same colour, 1"):
        find_areas(soft)
    areas = find_areas(np.asarray(near))
    assert areas is not None and areas.exact and [c[0] for c in areas.colours] == [0, 100, 120]
    small = np.zeros((SIDE, SIDE), np.uint8)
    small[20:90, 20:90], small[140:158, 140:158] = 255, 128
    ringing = encoded(Image.fromarray(small), "JPEG", quality=30)
    try:
        areas = find_areas(np.asarray(Image.open(io.BytesIO(ringing))))
    except Unclear:
        return
    assert areas is not None and len(areas.colours) == 3, "the small thing is there, or refused"


def test_photos_and_gradients_have_no_areas() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert find_areas(noise) is None
    assert find_areas(ramp) is None
