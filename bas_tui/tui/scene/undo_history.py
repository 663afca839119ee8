"""Undo without limit: every edit keeps only the changed box of a mask, as compressed XOR bits."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.scenes.mask_ops import Mask, difference_box
from engine.scenes.pixel_box import Box


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A concept of the document; `key` stays its own through renames and reorders."""

    key: int
    name: str
    initializer: str = ""
    """The word its token starts from; empty: none."""


@dataclass(frozen=True)
class Patch:
    """Changed pixels of one mask. XOR is its own inverse, so one patch serves undo and redo."""

    key: int
    box: Box
    bits: bytes

    def apply(self, mask: Mask) -> None:
        """Flip the changed pixels in place."""
        height, width = self.box.height, self.box.width
        packed = np.frombuffer(zlib.decompress(self.bits), np.uint8)
        flat = np.unpackbits(packed, count=height * width)
        mask[self.box.slices] ^= flat.reshape(height, width).astype(np.bool_)


def make_patch(key: int, before: Mask, after: Mask, within: Box | None = None) -> Patch | None:
    """The patch from `before` to `after`, or None where they are equal.

    `within` is a box outside of which nothing changed; it saves looking at the whole mask.
    """
    offset = within or Box(0, 0, before.shape[1], before.shape[0])
    box = difference_box(before[offset.slices], after[offset.slices])
    if box.empty:
        return None
    box = Box(box.x0 + offset.x0, box.y0 + offset.y0, box.x1 + offset.x0, box.y1 + offset.y0)
    changed = before[box.slices] ^ after[box.slices]
    return Patch(key, box, zlib.compress(np.packbits(changed).tobytes(), 6))


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One undo step: the concepts before and after, and the mask patches between them."""

    label: str
    before: tuple[Concept, ...]
    after: tuple[Concept, ...]
    patches: tuple[Patch, ...] = ()

    @property
    def box(self) -> Box | None:
        """The changed pixels where nothing but masks changed; None: redraw everything."""
        if self.before != self.after or not self.patches:
            return None
        box = self.patches[0].box
        for patch in self.patches[1:]:
            box = box.union(patch.box)
        return box


class History:
    """Two stacks of edits and a mark for the saved state."""

    def __init__(self) -> None:
        self._done: list[tuple[int, Edit]] = []
        self._undone: list[tuple[int, Edit]] = []
        self._serial = itertools.count(1)
        self._saved = 0

    @property
    def state(self) -> int:
        """A number that is the same whenever the document is in the same state."""
        return self._done[-1][0] if self._done else 0

    @property
    def dirty(self) -> bool:
        """Whether the document differs from what `mark_saved` last saw."""
        return self.state != self._saved

    @property
    def undo_label(self) -> str:
        """What undo would take back; empty where there is nothing."""
        return self._done[-1][1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        """What redo would make again; empty where there is nothing."""
        return self._undone[-1][1].label if self._undone else ""

    def mark_saved(self) -> None:
        self._saved = self.state

    def push(self, edit: Edit) -> None:
        """Record an edit that has just been made; what was undone is gone."""
        self._done.append((next(self._serial), edit))
        self._undone.clear()

    def take_last(self) -> Edit | None:
        """The last edit, to be recorded again as part of a larger one; None where there is none."""
        return self._done.pop()[1] if self._done else None

    def undo(self) -> Edit | None:
        """The edit to take back, or None."""
        if not self._done:
            return None
        entry = self._done.pop()
        self._undone.append(entry)
        return entry[1]

    def redo(self) -> Edit | None:
        """The edit to make again, or None."""
        if not self._undone:
            return None
        entry = self._undone.pop()
        self._done.append(entry)
        return entry[1]

    def depth(self) -> tuple[int, int]:
        """How many steps can be undone and redone."""
        return len(self._done), len(self._undone)

    def bytes_held(self) -> int:
        """Compressed bytes of all patches."""
        return sum(
            len(patch.bits) for _, edit in (*self._done, *self._undone) for patch in edit.patches
        )


def apply_edit(
    masks: Mapping[int, Mask], edit: Edit, shape: tuple[int, int], *, forward: bool
) -> dict[int, Mask]:
    """The masks after (or, backward, before) the edit; patched arrays are changed in place.

    A concept that (re)appears starts empty and its patch fills it.
    """
    changed = dict(masks)
    target = edit.after if forward else edit.before
    for concept in (*edit.before, *edit.after):
        if concept.key not in changed:
            changed[concept.key] = np.zeros(shape, np.bool_)
    for patch in edit.patches:
        patch.apply(changed[patch.key])
    keep = {concept.key for concept in target}
    return {key: mask for key, mask in changed.items() if key in keep}
