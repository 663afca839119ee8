"""What training would see of a document: the square cut from it, checks, visibility."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bas_tui.tui.scene.document import MaskDocument
from engine.core.errors import UserError
from engine.scenes.checks import SceneConcept, check_scene
from engine.scenes.findings import Finding
from engine.scenes.mask_grid import GridMasks, mask_grid, resize_mask
from engine.scenes.pixel_box import Box
from engine.scenes.square_crop import crop_square


class Inspection(NamedTuple):
    """Live checks of a document."""

    findings: tuple[Finding, ...]
    """Errors first."""
    coverage: dict[int, float]
    """By concept key: share of the picture, 0..1."""
    grids: dict[int, GridMasks]
    """By concept key: the mask on the attention grid, in the square, as training has it."""
    square: Box | None
    """The square that training cuts from a picture that is not square."""

    @property
    def cells(self) -> dict[int, int]:
        """By concept key: how many cells of the attention grid see the mask."""
        return {key: int(np.count_nonzero(grid)) for key, grid in self.grids.items()}

    @property
    def error(self) -> Finding | None:
        """What stands against training first; None: nothing does."""
        return next((finding for finding in self.findings if finding.level == "error"), None)


def inspect(document: MaskDocument, grid: int = 16, side: int | None = None) -> Inspection:
    """Check the document as it is now; about 2 ms for three masks of 512x512.

    `grid` is the side of the attention grid, `side` that of the training picture where it is known.
    """
    height, width = document.shape
    concepts = [SceneConcept(c.name, document.mask(c.key)) for c in document.concepts]
    coverage = {c.key: document.coverage(c.key) for c in document.concepts}
    if not concepts:
        finding = Finding("error", "there is no concept yet", "click on a thing, or press n")
        return Inspection((finding,), {}, {}, _square(document, []))
    square, cut = _square(document, concepts), concepts
    lost = () if height == width else _lost(document, concepts)
    if square is not None:
        cut = [SceneConcept(c.name, c.mask[square.slices]) for c in concepts]
    size = (width, height) if square is None else (square.width, square.height)
    findings = [*lost, *(_reworded(f) for f in check_scene(size, cut, grid=grid))]
    findings.sort(key=lambda finding: finding.level != "error")
    grids: dict[int, GridMasks] = {}
    for concept, part in zip(document.concepts, cut, strict=True):
        mask = part.mask if side is None else resize_mask(part.mask, (side, side))
        grids[concept.key] = mask_grid(mask[None], grid)[0]
    return Inspection(tuple(findings), coverage, grids, square)


def _square(document: MaskDocument, concepts: list[SceneConcept]) -> Box | None:
    height, width = document.shape
    if height == width:
        return None
    painted = [concept for concept in concepts if concept.mask.any()]
    everything = SceneConcept("", np.ones((height, width), np.bool_))
    # Cropping the positions instead of the colours tells where the square starts.
    along = np.arange(width)[None, :] if width > height else np.arange(height)[:, None]
    positions = np.broadcast_to(along, (height, width))
    try:
        cut = crop_square(positions, painted or [everything])  # pyright: ignore[reportArgumentType]
    except UserError:
        return None
    start, side = int(cut.image[0, 0]), min(height, width)
    return (
        Box(start, 0, start + side, side) if width > height else Box(0, start, side, start + side)
    )


def _lost(document: MaskDocument, concepts: list[SceneConcept]) -> tuple[Finding, ...]:
    painted = [concept for concept in concepts if concept.mask.any()]
    if not painted:
        return ()
    try:
        return tuple(crop_square(document.image, painted).findings)
    except UserError as error:
        return (Finding("error", error.message, error.remedy),)


def _reworded(finding: Finding) -> Finding:
    """Remedies that fit a person with a brush in hand, where the loader's speak of files."""
    remedies = {
        "paint the thing white on black": "paint on it, or find it (d)",
        "the thing must be white, the rest black": "press i to invert it",
        "rename one of the files": "press r to rename it",
        "crop the picture closer to the thing or mask it more loosely": "press g to grow it",
    }
    return finding._replace(remedy=remedies.get(finding.remedy, finding.remedy))
