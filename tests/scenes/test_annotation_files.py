"""labelme and COCO files: what people export instead of masks."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import UserError
from engine.scenes.annotation_files import decode_rle, rasterise, read_annotation
from engine.scenes.scene import load_scene

SIZE = (64, 48)
TRIANGLE = [[5, 5], [40, 8], [20, 40]]


def labelme(*shapes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"shapes": list(shapes), "imagePath": "photo.png", "imageWidth": SIZE[0],
            "imageHeight": SIZE[1], **more}  # fmt: skip


def shape(label: str, points: Any, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def coco(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "photo.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "categories": [{"id": 1, "name": "red cup"}, {"id": 2, "name": "猫"}],
        "annotations": list(annotations),
        **more,
    }


def read(folder: Path, table: Any) -> dict[str, np.ndarray]:
    (folder / "photo.json").write_text(json.dumps(table), encoding="utf-8")
    found = read_annotation(folder / "photo.json", "photo.png")
    return dict(zip(found.labels, found.masks, strict=True))


def test_labelme_shapes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((10, 20), 255, np.uint8)).save(buffer, "PNG")
    bitmap = base64.b64encode(buffer.getvalue()).decode()
    found = read(
        tmp_path,
        labelme(
            shape("cup", TRIANGLE),
            shape("box", [[60, 40], [50, 10]], "rectangle"),
            shape("ball", [[30, 24], [30, 34]], "circle"),
            shape("tag", [[55, 40], [74, 49]], "mask", mask=bitmap),
            shape("_background_", [[0, 0], [9, 9]], "rectangle"),
            shape("nose", [[3, 3]], "point"),
        ),
    )
    assert list(found) == ["cup", "box", "ball", "tag"]
    assert np.array_equal(found["cup"], rasterise([np.ravel(TRIANGLE).tolist()], *SIZE))
    assert np.argwhere(found["box"]).min(0).tolist() == [10, 50] and found["box"].sum() == 300
    assert abs(found["ball"].sum() - np.pi * 100) < 12
    assert found["tag"].sum() == 8 * 9, "cut at the picture's edge"


def test_labelme_groups_and_what_is_said(tmp_path: Path) -> None:
    box = [[0, 0], [10, 10]]
    table = labelme(
        shape("leg", box, "rectangle"), shape("leg", [[20, 0], [30, 10]], "rectangle"),
        shape("leg", [[40, 0], [50, 10]], "rectangle", group_id=3), shape("x", box, "line"),
        imagePath="..\\shots\\other.jpg",
    )  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(table))
    found = read_annotation(tmp_path / "a.json", "photo.png")
    assert found.labels == ["leg", "leg"] and [int(m.sum()) for m in found.masks] == [200, 100]
    said = " | ".join(found.notes)
    assert "made for other.jpg, not for photo.png" in said
    assert "2 shapes named 'leg' are one thing" in said and "'x' (line)" in said


def test_coco_polygons_and_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros(SIZE[::-1], bool)
    mask[10:20, 30:40] = True
    columns = mask.T.ravel()
    changes = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff([0, *changes.tolist(), columns.size]).tolist()
    size = [SIZE[1], SIZE[0]]
    found = read(
        tmp_path,
        coco(
            {"image_id": 7, "category_id": 1, "segmentation": [np.ravel(TRIANGLE).tolist()]},
            {"image_id": 7, "category_id": 2, "segmentation": {"size": size, "counts": counts}},
            {"image_id": 8, "category_id": 2, "segmentation": [[0, 0, 9, 9, 0, 9]]},
        ),
    )
    assert list(found) == ["red cup", "猫"]
    assert np.array_equal(found["猫"], mask)


def test_the_text_code_of_run_lengths() -> None:
    """Written out by hand: five bits a character from 48 on, 32 for more, differences to the run
    two before from the fourth run on."""
    # Runs 3, 4, 2 and 7 (4 + 3): a picture of 4x4 pixels.
    mask = decode_rle({"size": [4, 4], "counts": "3423"})
    assert mask.T.ravel().tolist() == [False] * 3 + [True] * 4 + [False] * 2 + [True] * 7
    # 40 = 8 + 32: two characters.
    long = decode_rle({"size": [10, 10], "counts": "X1l1"})
    assert int((~long).sum()) == 40 and int(long.sum()) == 60
    for counts in ("34", "\u00e9", [5, 5], [-1, 17]):
        with pytest.raises(ValueError):
            decode_rle({"size": [4, 4], "counts": counts})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "mark nothing|about 0 photos"),
        ({"a": 1}, "no annotation of labelme or COCO"),
        (labelme(), "mark no area"),
        (labelme(shape("a", [[1, 1]])), "no usable points"),
        (labelme(shape("a", TRIANGLE), imageWidth=10**9), "a size of"),
        (labelme({"points": TRIANGLE}), "damaged"),
        (coco({"image_id": 7, "bbox": [1, 2, 3, 4]}), "a box without an outline"),
        (coco(images=[{"id": 1, "file_name": n} for n in "ab"]), "about 2 photos"),
        (coco({"image_id": 7, "segmentation": {"size": [4, 4], "counts": [16]}}), "4x4"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, table: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, table)


def test_no_json_at_all(tmp_path: Path) -> None:
    for text in ("{", "[" * 100_000, "3"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError):
            read_annotation(tmp_path / "a.json", "photo.png")


def test_labelme_beside_a_photo_is_found(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "white").save(tmp_path / "photo.png")
    (tmp_path / "photo.json").write_text(json.dumps(labelme(shape("Tea Pot", TRIANGLE))))
    assert load_scene(tmp_path / "photo.png").names == ("tea_pot",)
