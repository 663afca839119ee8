"""Scene selection by the paper's rules, on a COCO folder small enough to know by heart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import UserError
from engine.evaluate.coco import (
    load_list_scenes,
    rasterise,
    read_list,
    select_scenes,
    write_list,
)

CATEGORIES = {1: "dog", 2: "chair", 3: "banana", 4: "dining table"}


class Coco:
    """A COCO folder that grows image by image; boxes are (category, x, y, width, height)."""

    def __init__(self, folder: Path) -> None:
        self.images, self.instances = folder / "images", folder / "instances.json"
        self.images.mkdir(parents=True)
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def add(self, *boxes: tuple[int, int, int, int, int], size: tuple[int, int] = (100, 100),
            crowd: bool = False) -> int:  # fmt: skip
        number = len(self._images) + 1
        name = f"{number:012d}.jpg"
        pixels = np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.images / name)
        self._images.append(
            {"id": number, "file_name": name, "width": size[0], "height": size[1]}
        )  # fmt: skip
        for category, x, y, w, h in boxes:
            polygon = [x, y, x + w - 1, y, x + w - 1, y + h - 1, x, y + h - 1]
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1, "image_id": number, "category_id": category,
                    "segmentation": [polygon], "area": w * h, "iscrowd": int(crowd),
                }
            )  # fmt: skip
        return number

    def write(self) -> None:
        table = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": key, "name": name} for key, name in CATEGORIES.items()],
        }
        self.instances.write_text(json.dumps(table))

    def chosen(self, count: int = 50, seed: int = 0) -> list[int]:
        self.write()
        found = select_scenes(self.images, self.instances, count=count, seed=seed)
        return sorted(scene.image for scene in found.scenes)


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    return Coco(tmp_path / "coco")


def test_the_rules(coco: Coco) -> None:
    good = coco.add((1, 0, 0, 40, 40), (2, 50, 50, 45, 45))
    coco.add((1, 0, 0, 40, 40))  # one thing only
    coco.add((1, 0, 0, 40, 40), (2, 50, 50, 35, 35))  # the chair is below 15 %
    coco.add((1, 0, 0, 40, 40), (3, 50, 50, 45, 45))  # a banana
    coco.add((1, 0, 0, 40, 40), (1, 50, 50, 45, 45))  # two dogs
    coco.add((1, 0, 0, 40, 40), (2, 50, 50, 45, 45), crowd=True)
    three = coco.add((1, 0, 0, 40, 40), (2, 50, 0, 45, 40), (4, 0, 50, 90, 45))
    assert coco.chosen() == [good, three]


def test_segments_are_measured_in_the_crop(coco: Coco) -> None:
    # Both things are large, but no square of the shorter side holds 15 % of both.
    coco.add((1, 0, 0, 40, 40), (2, 260, 50, 40, 45), size=(300, 100))
    near = coco.add((1, 150, 0, 40, 40), (2, 200, 50, 45, 45), size=(300, 100))
    assert coco.chosen() == [near]


def test_a_list_is_drawn_by_its_seed_and_survives_its_file(coco: Coco, tmp_path: Path) -> None:
    for _ in range(12):
        coco.add((1, 5, 5, 40, 40), (4, 50, 50, 45, 45))
    coco.add((1, 150, 0, 40, 40), (2, 200, 50, 45, 45), size=(300, 100))
    coco.write()
    first = select_scenes(coco.images, coco.instances, count=5, seed=0)
    assert first == select_scenes(coco.images, coco.instances, count=5, seed=0)
    assert first != select_scenes(coco.images, coco.instances, count=5, seed=1)
    assert (len(first.scenes), first.candidates) == (5, 13)
    everything = select_scenes(coco.images, coco.instances, count=50, seed=0)
    write_list(everything, tmp_path / "list.json")
    again = read_list(tmp_path / "list.json")
    assert again.scenes == everything.scenes
    assert again.digest
    loaded = load_list_scenes(again, coco.images, 50)
    assert {source.scene.side for source in loaded} == {100}
    for source, listed in zip(loaded, again.scenes, strict=True):
        assert source.scene.names == tuple(s.word.replace(" ", "-") for s in listed.segments)
        for concept in source.scene.concepts:
            assert concept.mask.mean() >= 0.15
    assert len(load_list_scenes(again, coco.images, 2)) == 2


def test_polygons_become_masks() -> None:
    mask = rasterise([[2, 3, 5, 3, 5, 6, 2, 6], [8, 8, 9, 8, 9, 9]], 12, 10)
    assert mask.shape == (10, 12)
    assert mask[3:7, 2:6].all()
    assert mask.sum() == 16 + 3


def test_mistakes_are_explained(coco: Coco, tmp_path: Path) -> None:
    coco.add((1, 0, 0, 40, 40))
    with pytest.raises(UserError, match="fits the paper's rules"):
        coco.chosen()
    with pytest.raises(UserError, match="cannot read"):
        select_scenes(coco.images, tmp_path / "none.json", count=1, seed=0)
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    with pytest.raises(UserError, match="no COCO instance file"):
        select_scenes(coco.images, wrong, count=1, seed=0)
    with pytest.raises(UserError, match="no list of scenes"):
        read_list(wrong)
