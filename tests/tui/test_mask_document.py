"""MaskDocument: every operation can be undone, the history stays small, files are plain PNGs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bas_tui.tui.scene.document import ConceptMask, MaskDocument
from bas_tui.tui.scene.mask_folder import default_folder, plan_save, save_masks
from bas_tui.tui.scene.unsaved_work import (
    drop_recovery,
    read_recovery,
    recovery_path,
    write_recovery,
)
from engine.core.errors import UserError
from engine.scenes.background import background_mask
from engine.scenes.pixel_box import EMPTY, Point


def picture(side: int = 64) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side]
    disc = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 4) ** 2
    image = np.full((side, side, 3), 90, np.uint8)
    image[disc] = (200, 40, 40)
    return image


def document() -> MaskDocument:
    left = np.zeros((64, 64), bool)
    left[10:40, 5:20] = True
    return MaskDocument(picture(), [ConceptMask("cat", left), ConceptMask("dog", left.T.copy())])


def state(doc: MaskDocument) -> list[tuple[int, str, str, bytes]]:
    return [(c.key, c.name, c.initializer, doc.mask(c.key).tobytes()) for c in doc.concepts]


def paint(doc: MaskDocument) -> None:
    doc.begin_stroke(0, Point(30, 30), 4, True)
    doc.continue_stroke(Point(50, 35))
    doc.continue_stroke(Point(55, 60))
    doc.end_stroke()


def dab(doc: MaskDocument) -> None:
    doc.begin_stroke(0, Point(4, 60), 2, True)
    doc.end_stroke()


STEPS: list[Callable[[MaskDocument], object]] = [
    paint,
    lambda doc: doc.flood(0, Point(32, 32), 20),
    lambda doc: doc.grow(1, 2),
    lambda doc: doc.rename(1, "hound"),
    lambda doc: doc.shrink(0, 1),
    lambda doc: doc.invert(1),
    lambda doc: doc.fill_holes(1),
    lambda doc: doc.add("bird", "eagle", np.eye(64, dtype=bool)),
    lambda doc: doc.move(0, 1),
    dab,
    lambda doc: doc.keep_largest(0),
    lambda doc: doc.set_initializer(0, "kitten"),
    lambda doc: doc.delete(1),
    lambda doc: doc.add_background(16),
    lambda doc: doc.clear(0),
]


def test_every_step_is_undone_and_redone_exactly() -> None:
    doc, states = document(), []
    states.append(state(doc))
    for step in STEPS:
        step(doc)
        states.append(state(doc))
        assert states[-1] != states[-2]
    for earlier in reversed(states[:-1]):
        doc.undo()
        assert state(doc) == earlier
    assert doc.undo() is None
    for later in states[1:]:
        doc.redo()
        assert state(doc) == later
    assert doc.redo() is None


def test_a_stroke_is_one_step_and_tells_its_box() -> None:
    doc = document()
    before = doc.mask(0).copy()
    box = doc.begin_stroke(0, Point(30, 30), 3, True)
    box = box.union(doc.continue_stroke(Point(45, 30)))
    assert doc.history.depth() == (0, 0)
    doc.end_stroke()
    assert doc.history.depth() == (1, 0)
    changed = doc.mask(0) != before
    changed[box.slices] = False
    assert not changed.any()
    edit = doc.undo()
    assert edit is not None and edit.box is not None
    assert np.array_equal(doc.mask(0), before)


def test_steps_that_change_nothing_leave_no_trace() -> None:
    doc = document()
    doc.begin_stroke(0, Point(10, 20), 2, True)
    doc.end_stroke()
    assert doc.fill_holes(0) == EMPTY
    doc.rename(0, "cat")
    doc.move(0, -1)
    assert doc.history.depth() == (0, 0) and not doc.dirty


def test_dirty_follows_undo_back_to_the_saved_state() -> None:
    doc = document()
    paint(doc)
    doc.history.mark_saved()
    doc.grow(0, 1)
    assert doc.dirty
    doc.undo()
    assert not doc.dirty
    doc.undo()
    assert doc.dirty
    doc.invert(0)
    doc.undo()
    assert doc.dirty, "the saved state was cut off from the history"


def test_history_of_many_strokes_stays_far_below_whole_masks() -> None:
    doc = MaskDocument(
        np.zeros((512, 512, 3), np.uint8), [ConceptMask("a", np.zeros((512, 512), bool))]
    )
    rng = np.random.default_rng(3)
    for _ in range(200):
        start = Point(*rng.uniform(0, 512, 2))
        doc.begin_stroke(0, start, 12, True)
        for _ in range(6):
            start = Point(start.x + rng.uniform(-30, 30), start.y + rng.uniform(-30, 30))
            doc.continue_stroke(start)
        doc.end_stroke()
    steps = doc.history.depth()[0]
    assert steps > 150
    assert doc.history.bytes_held() / steps < 512 * 512 / 8 / 50
    while doc.undo():
        pass
    assert not doc.mask(0).any()


@pytest.mark.parametrize("name", ["dog", " Dog", "--", "!"])
def test_names_that_are_taken_or_empty_are_refused(name: str) -> None:
    doc = document()
    with pytest.raises(UserError):
        doc.rename(0, name)
    assert doc.concepts[0].name == "cat" and doc.history.depth() == (0, 0)


def test_names_become_what_mask_files_would_give_and_default_names_follow_the_order() -> None:
    doc = document()
    doc.rename(0, "Red Cat")
    key = doc.add()
    doc.move(key, -2)
    assert [c.name for c in doc.concepts] == ["asset0", "red_cat", "dog"]
    doc.add()
    doc.delete(0)
    assert [c.name for c in doc.concepts] == ["asset0", "dog", "asset2"]


def test_background_is_made_anew_where_it_exists() -> None:
    doc = document()
    key = doc.add_background(16)
    doc.grow(0, 3)
    assert doc.add_background(16) == key
    things = [doc.mask(0), doc.mask(1)]
    assert np.array_equal(doc.mask(key), background_mask(things, 16)), "as bas train makes it"
    with pytest.raises(UserError):
        MaskDocument(picture()).add_background(16)


def test_saved_masks_are_plain_pngs_and_the_photo_stays(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(picture()).save(photo)
    bytes_before = photo.read_bytes()
    doc, folder = document(), default_folder(photo)
    assert folder == tmp_path / "photo_masks"
    save_masks(plan_save(folder, [c.name for c in doc.concepts]), doc.snapshot())
    with Image.open(folder / "cat.png") as file:
        assert file.mode == "L" and not file.info
        assert np.array_equal(np.array(file), doc.mask(0) * np.uint8(255))
    assert default_folder(photo).name == "photo_masks2"
    target = plan_save(folder, ["cat", "hound"], ["cat.png", "dog.png"])
    assert target.overwrites == ("cat.png",) and target.removes == ("dog.png",)
    doc.rename(1, "hound")
    save_masks(target, doc.snapshot())
    assert sorted(path.name for path in folder.iterdir()) == ["cat.png", "hound.png"]
    assert photo.read_bytes() == bytes_before


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UserError):
        save_masks(plan_save(blocker / "masks", ["cat"]), document().snapshot())


def test_unsaved_painting_is_recovered_for_the_same_picture_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    doc, photo = document(), tmp_path / "photo.png"
    doc.set_initializer(1, "puppy")
    assert read_recovery(photo, doc.image) is None
    write_recovery(photo, doc.image, doc.snapshot())
    found = read_recovery(photo, doc.image)
    assert found is not None
    assert [(c.name, c.initializer) for c in found.concepts] == [("cat", ""), ("dog", "puppy")]
    assert all(np.array_equal(c.mask, doc.mask(k)) for k, c in enumerate(found.concepts))
    assert read_recovery(photo, doc.image[::-1]) is None
    recovery_path(photo).write_bytes(b"PK torn")
    assert read_recovery(photo, doc.image) is None
    drop_recovery(photo)
    assert not recovery_path(photo).exists()
