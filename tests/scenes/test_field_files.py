"""Mask files and photos after public reports, made here (`field_files`).

Where `BAS_PARITY` names a folder with files that were collected, its `field` is read as well.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import UserError
from engine.scenes.image_files import read_photo
from engine.scenes.scene import Scene, load_scene
from tests.scenes.field_files import PAINTED, TRUTH, drawn, write_all


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are made here; read them only."""
    return write_all(tmp_path_factory.mktemp("field"))


@pytest.fixture(params=["made", "collected"])
def field(request: pytest.FixtureRequest, made: Path) -> Path:
    """A folder of files under the names of their kinds."""
    if request.param == "made":
        return made
    if "BAS_PARITY" not in os.environ:
        pytest.skip("BAS_PARITY names no folder of collected files")
    return Path(os.environ["BAS_PARITY"]) / "field"


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def compared(scene: Scene, *names: str, least: float = 0.95) -> None:
    """The things lie where they are known to, in that order."""
    assert len(scene.concepts) == len(names)
    for concept, name in zip(scene.concepts, names, strict=True):
        assert iou(concept.mask, TRUTH[name]) > least, name


def test_plain_masks_are_where_the_things_are(field: Path) -> None:
    scene = load_scene(field / "photo.png", [field / "masks"])
    assert scene.names == ("ball", "box")
    compared(scene, "ball", "box", least=0.999)


def test_the_void_border_of_pascal_voc(field: Path) -> None:
    scene = load_scene(field / "photo.png", [field / "F03_voc_void_border.png"])
    compared(scene, "ball", "box")
    assert any("the border between things" in note for note in scene.notes)


def test_half_opaque_paint(field: Path) -> None:
    compared(load_scene(field / "photo.png", [field / "F09_half_opacity"]), "ball", least=0.999)


def test_names_of_label_studio(field: Path) -> None:
    scene = load_scene(field / "photo.png", [field / "F15_label_studio"])
    compared(scene, "ball", "box", least=0.999)
    assert scene.names == ("red_ball", "red_box")


def test_what_comfyui_painted(field: Path, made: Path) -> None:
    scene = load_scene(field / "photo.png", [field / "F04_comfyui_mask"])
    (concept,) = scene.concepts
    assert concept.mask.mean() == pytest.approx(0.452, abs=0.002)
    assert any("ComfyUI" in note for note in scene.notes)
    if field == made:
        assert np.array_equal(concept.mask, drawn("rectangle", PAINTED))


def test_masks_of_a_turned_photo(field: Path) -> None:
    folder = field / "F16_exif180"
    scene = load_scene(folder / "photo180.jpg", [folder / "masks_as_stored"])
    compared(scene, "ball")
    red, _, blue = np.median(scene.image[scene.concepts[0].mask], axis=0)
    assert red > 150 > 100 > blue, "the photo is turned as the mask is"
    assert any("turned along" in finding.message for finding in scene.findings)


def test_labelme(field: Path) -> None:
    (concept,) = load_scene(field / "photo.png", [field / "F19_labelme.json"]).concepts
    assert concept.name == "ball" and concept.mask.sum() == 82 * 115
    assert concept.mask[38:153, 20:102].all()


def test_photos(field: Path) -> None:
    scene = load_scene(field / "F18_no_end_marker.jpg", [field / "masks"])
    compared(scene, "ball", "box")
    assert any("no end marker" in finding.message for finding in scene.findings)
    portrait = read_photo(field / "F17_mpo.jpg")
    assert portrait.pixels.shape[1] == 256
    assert not any("animation" in note for note in portrait.notes)


def test_run_lengths_of_coco(made: Path) -> None:
    scene = load_scene(made / "photo.png", [made / "coco.json"])
    assert scene.names == ("ball", "box")
    compared(scene, "ball", "box", least=0.999)


def test_a_folder_of_sam(made: Path) -> None:
    with pytest.raises(UserError, match="3 masks of SAM's `everything`"):
        load_scene(made / "photo.png", [made / "sam_everything"])
    files = [made / "sam_everything" / f"{k}.png" for k in (0, 1)]
    compared(load_scene(made / "photo.png", files), "ball", "box", least=0.999)


def test_onetrainers_mask_beside_its_photo(made: Path) -> None:
    scene = load_scene(made / "onetrainer" / "photo.jpg")
    compared(scene, "ball", least=0.999)
    assert scene.names == ("photo",)


@pytest.mark.parametrize("file", ["soft_edges.png", "hard_edges.jpg", "soft_edges.jpg"])
def test_label_maps_that_lost_their_hard_edges(made: Path, file: str) -> None:
    """Every one of them is read in full; a refusal would be honest too, a lost thing never."""
    scene = load_scene(made / "photo.png", [made / file])
    ball, box = sorted((c.mask for c in scene.concepts), key=lambda mask: int(mask.sum()))
    assert iou(ball, TRUTH["ball"]) > 0.95 and iou(box, TRUTH["box"]) > 0.95


def test_the_order_of_a_palette_says_nothing(made: Path) -> None:
    masks = [
        {c.mask.tobytes() for c in load_scene(made / "photo.png", [made / file]).concepts}
        for file in ("palette_background_first.png", "palette_background_last.png")
    ]
    assert masks[0] == masks[1] == {mask.tobytes() for mask in TRUTH.values()}
