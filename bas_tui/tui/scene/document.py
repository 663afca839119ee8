"""MaskDocument: a picture, its ordered concepts with masks, and every operation of the editor."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bas_tui.tui.scene.undo_history import (
    Concept,
    Edit,
    History,
    Patch,
    apply_edit,
    make_patch,
)
from engine.core.errors import UserError
from engine.scenes import mask_ops
from engine.scenes.background import NAME as BACKGROUND
from engine.scenes.background import background_mask
from engine.scenes.mask_names import concept_name
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import EMPTY, Box, Point

_DEFAULT_NAME = re.compile(r"asset\d+")


class ConceptMask(NamedTuple):
    """A concept to start a document with."""

    name: str
    mask: Mask
    initializer: str = ""


class _Stroke(NamedTuple):
    key: int
    before: Mask
    value: bool
    radius: float
    last: Point
    box: Box


class MaskDocument:
    """All changes go through methods that record one undo step each.

    Methods that change a mask return the changed `Box` (`EMPTY`: nothing changed), so that a
    screen redraws no more than that.
    """

    def __init__(self, image: Picture, concepts: Sequence[ConceptMask] = ()) -> None:
        self.image = np.ascontiguousarray(image[:, :, :3])
        self.history = History()
        self.concepts: tuple[Concept, ...] = tuple(
            Concept(key=key, name=item.name, initializer=item.initializer)
            for key, item in enumerate(concepts)
        )
        self._masks: dict[int, Mask] = {
            key: np.array(item.mask, np.bool_) for key, item in enumerate(concepts)
        }
        self._next_key = len(concepts)
        self._stroke: _Stroke | None = None
        self._to_paint: int | None = None
        """A concept that was added only for what is painted next: one undo takes back both."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def dirty(self) -> bool:
        """Whether there is work that is not on disk."""
        return self.history.dirty

    def mask(self, key: int) -> Mask:
        """The live mask of a concept; do not change it from outside."""
        return self._masks[key]

    def concept(self, key: int) -> Concept:
        """The concept of that key; KeyError where it was deleted."""
        for concept in self.concepts:
            if concept.key == key:
                return concept
        raise KeyError(key)

    def coverage(self, key: int) -> float:
        """Share of the picture that the mask covers, 0..1."""
        return float(self._masks[key].mean())

    def snapshot(self) -> list[ConceptMask]:
        """Names, mask copies and initializer words, in order."""
        return [
            ConceptMask(c.name, self._masks[c.key].copy(), c.initializer) for c in self.concepts
        ]

    # Strokes

    def begin_stroke(self, key: int, at: Point, radius: float, value: bool) -> Box:
        """Start painting (`value` True) or erasing with a round brush of `radius` pixels."""
        self.end_stroke()
        before = self._masks[key].copy()
        self._stroke = _Stroke(key, before, value, radius, at, EMPTY)
        return self.continue_stroke(at)

    def continue_stroke(self, to: Point) -> Box:
        """Drag the brush on in a straight line."""
        stroke = self._stroke
        if stroke is None:
            return EMPTY
        box = mask_ops.draw_stroke(
            self._masks[stroke.key], stroke.last, to, stroke.radius, stroke.value
        )
        self._stroke = stroke._replace(last=to, box=stroke.box.union(box))
        return box

    def end_stroke(self) -> None:
        """Lift the brush: the whole stroke becomes one undo step."""
        stroke, self._stroke = self._stroke, None
        if stroke is None or stroke.box.empty:
            return
        patch = make_patch(stroke.key, stroke.before, self._masks[stroke.key], stroke.box)
        if patch is not None:
            self._repaint("paint" if stroke.value else "erase", patch)

    @property
    def stroking(self) -> bool:
        """Whether the brush is down."""
        return self._stroke is not None

    # Whole masks

    def replace(self, key: int, mask: Mask, label: str) -> Box:
        """Put another mask in a concept's place, as one undo step."""
        self.end_stroke()
        patch = make_patch(key, self._masks[key], mask)
        if patch is None:
            return EMPTY
        self._masks[key] = np.array(mask, np.bool_)
        return self._repaint(label, patch)

    def flood(self, key: int, at: Point, tolerance: int, value: bool = True) -> Box:
        """Add (or remove) the region of about one colour around a pixel."""
        height, width = self.shape
        seed = (min(width - 1, max(0, int(at.x))), min(height - 1, max(0, int(at.y))))
        region = mask_ops.flood(self.image, seed, tolerance)
        mask = self._masks[key]
        return self.replace(key, mask | region if value else mask & ~region, "flood")

    def grow(self, key: int, pixels: int) -> Box:
        return self.replace(key, mask_ops.grow(self._masks[key], pixels), "grow")

    def shrink(self, key: int, pixels: int) -> Box:
        return self.replace(key, mask_ops.shrink(self._masks[key], pixels), "shrink")

    def invert(self, key: int) -> Box:
        return self.replace(key, ~self._masks[key], "invert")

    def fill_holes(self, key: int) -> Box:
        return self.replace(key, mask_ops.fill_holes(self._masks[key]), "fill holes")

    def keep_largest(self, key: int) -> Box:
        return self.replace(key, mask_ops.keep_largest(self._masks[key]), "keep largest")

    def clear(self, key: int) -> Box:
        return self.replace(key, np.zeros(self.shape, np.bool_), "clear")

    # Concepts

    def add(self, name: str = "", initializer: str = "", mask: Mask | None = None) -> int:
        """Append a concept and return its key; without a name it is called like its token."""
        self.end_stroke()
        name = self._check_name(name, len(self.concepts), None)
        key, self._next_key = self._next_key, self._next_key + 1
        after = (*self.concepts, Concept(key=key, name=name, initializer=initializer.strip()))
        self._masks[key] = np.zeros(self.shape, np.bool_)
        if mask is None:
            patch = None
        else:
            patch = make_patch(key, self._masks[key], mask)
            self._masks[key] = np.array(mask, np.bool_)
        self._restructure("add", after, patch)
        return key

    def add_to_paint(self) -> int:
        """Append a concept for a stroke, a box or a flood that is about to come; its key."""
        self._to_paint = None
        key = self.add()
        self._to_paint = key
        return key

    def add_background(self, cells: int) -> int:
        """What surrounds all other masks as a concept of its own; made anew where it exists.

        `cells` is the side of the latents (`engine.scenes.background`). Raises UserError where too
        little is left for a background.
        """
        self.end_stroke()
        existing = next((c.key for c in self.concepts if c.name == BACKGROUND), None)
        masks = [self._masks[c.key] for c in self.concepts if c.key != existing]
        if not masks:
            raise UserError("there is no background to take", "mask at least one thing first")
        rest = background_mask(masks, cells)
        if existing is None:
            return self.add(BACKGROUND, BACKGROUND, rest)
        self.replace(existing, rest, "background")
        return existing

    def restore(self, concepts: Sequence[ConceptMask], label: str) -> None:
        """Put other concepts in place of all of these, as one undo step."""
        self.end_stroke()
        empty = np.zeros(self.shape, np.bool_)
        old = [make_patch(c.key, self._masks[c.key], empty) for c in self.concepts]
        after: list[Concept] = []
        patches = [patch for patch in old if patch is not None]
        self._masks = {}
        for item in concepts:
            key, self._next_key = self._next_key, self._next_key + 1
            after.append(Concept(key=key, name=item.name, initializer=item.initializer))
            self._masks[key] = np.array(item.mask, np.bool_)
            patch = make_patch(key, empty, self._masks[key])
            patches += [patch] if patch is not None else []
        edit = Edit(label=label, before=self.concepts, after=tuple(after), patches=tuple(patches))
        self.concepts = edit.after
        self.history.push(edit)

    def delete(self, key: int) -> None:
        """Remove a concept; undo brings it back with its mask."""
        self.end_stroke()
        patch = make_patch(key, self._masks[key], np.zeros(self.shape, np.bool_))
        after = tuple(c for c in self.concepts if c.key != key)
        del self._masks[key]
        self._restructure("delete", after, patch)

    def rename(self, key: int, name: str) -> None:
        """Give it another name, as a mask file of that name would get it: `Red Cat` -> `red_cat`.

        Raises UserError for a name that is taken or has no letter or digit.
        """
        position = next(i for i, c in enumerate(self.concepts) if c.key == key)
        name = self._check_name(name, position, key)
        self._change(key, "rename", name, self.concept(key).initializer)

    def set_initializer(self, key: int, word: str) -> None:
        """The word that the concept's token starts from; empty: none."""
        self._change(key, "initializer", self.concept(key).name, word.strip())

    def move(self, key: int, offset: int) -> None:
        """Move a concept up (negative) or down in the order of the tokens."""
        self.end_stroke()
        order = list(self.concepts)
        index = next(i for i, c in enumerate(order) if c.key == key)
        target = max(0, min(len(order) - 1, index + offset))
        order.insert(target, order.pop(index))
        self._restructure("reorder", tuple(order), None)

    # Undo

    def undo(self) -> Edit | None:
        """Take the last step back; None where there is none."""
        self.end_stroke()
        return self._apply(self.history.undo(), forward=False)

    def redo(self) -> Edit | None:
        """Make the last undone step again; None where there is none."""
        self.end_stroke()
        return self._apply(self.history.redo(), forward=True)

    def _apply(self, edit: Edit | None, *, forward: bool) -> Edit | None:
        self._to_paint = None
        if edit is not None:
            self._masks = apply_edit(self._masks, edit, self.shape, forward=forward)
            self.concepts = edit.after if forward else edit.before
        return edit

    def _change(self, key: int, label: str, name: str, initializer: str) -> None:
        self.end_stroke()
        changed = Concept(key=key, name=name, initializer=initializer)
        self._restructure(label, tuple(changed if c.key == key else c for c in self.concepts), None)

    def _restructure(self, label: str, after: tuple[Concept, ...], patch: Patch | None) -> None:
        after = _renumbered(after)
        self._to_paint = None
        if after == self.concepts:
            return
        patches = () if patch is None else (patch,)
        self.history.push(Edit(label=label, before=self.concepts, after=after, patches=patches))
        self.concepts = after

    def _repaint(self, label: str, patch: Patch) -> Box:
        before, key = self.concepts, self._to_paint
        self._to_paint = None
        if key == patch.key and (added := self.history.take_last()) is not None:
            before = added.before
        self.history.push(Edit(label=label, before=before, after=self.concepts, patches=(patch,)))
        return patch.box

    def _check_name(self, name: str, position: int, key: int | None) -> str:
        plain = concept_name(name, position)
        if name.strip() and plain == f"asset{position}" and not any(map(str.isalnum, name)):
            raise UserError(f"{name!r} cannot name a concept", "use letters and digits")
        if any(c.name == plain and c.key != key for c in self.concepts):
            raise UserError(f"there is already a concept {plain!r}", "choose another name")
        return plain


def _renumbered(concepts: tuple[Concept, ...]) -> tuple[Concept, ...]:
    """Default names follow the position, so that they are always the token's own name."""
    return tuple(
        dataclasses.replace(concept, name=f"asset{position}")
        if _DEFAULT_NAME.fullmatch(concept.name)
        else concept
        for position, concept in enumerate(concepts)
    )
