"""Mask files and photos after public reports; they do not ship, `BAS_PARITY` names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.scenes.scene import Scene, load_scene

FIELD = Path(os.environ.get("BAS_PARITY", Path(__file__).parents[3] / "shared")) / "field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the collected files are not here")
PHOTO = FIELD / "photo.png"


def truth() -> dict[str, np.ndarray]:
    scene = load_scene(PHOTO, [FIELD / "masks"])
    return {concept.name: concept.mask for concept in scene.concepts}


def compared(scene: Scene, *names: str) -> None:
    assert len(scene.concepts) == len(names)
    for concept, name in zip(scene.concepts, names, strict=True):
        wanted = truth()[name]
        assert (concept.mask & wanted).sum() / (concept.mask | wanted).sum() > 0.95


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("F03_voc_void_border.png", ("ball", "box")),
        ("F09_half_opacity", ("ball",)),
        ("F15_label_studio", ("ball", "box")),
    ],
)
def test_masks(file: str, names: tuple[str, ...]) -> None:
    scene = load_scene(PHOTO, [FIELD / file])
    compared(scene, *names)
    if file.startswith("F15"):
        assert scene.names == ("red_ball", "red_box")


def test_what_comfyui_painted() -> None:
    (concept,) = load_scene(PHOTO, [FIELD / "F04_comfyui_mask"]).concepts
    assert concept.mask.mean() == pytest.approx(0.452, abs=0.001)


def test_masks_of_a_turned_photo() -> None:
    folder = FIELD / "F16_exif180"
    scene = load_scene(folder / "photo180.jpg", [folder / "masks_as_stored"])
    compared(scene, "ball")
    assert any("turned along" in finding.message for finding in scene.findings)


def test_labelme() -> None:
    (concept,) = load_scene(PHOTO, [FIELD / "F19_labelme.json"]).concepts
    assert concept.name == "ball" and concept.mask.sum() == 82 * 115


def test_photos() -> None:
    scene = load_scene(FIELD / "F18_no_end_marker.jpg", [FIELD / "masks"])
    compared(scene, "ball", "box")
    assert any("no end marker" in finding.message for finding in scene.findings)
