"""Checks of an image with its masks; the loader and the mask workbench share them.

Shapes: H, W height and width of the image in pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.core.method_config import PAPER_MAX_CONCEPTS
from engine.core.prompt_grammar import BACKGROUND_NAMES
from engine.scenes.findings import Finding
from engine.scenes.mask_grid import GridRule, falls_between, grid_cells

BoolMask = npt.NDArray[np.bool_]

FULL_SHARE = 0.95
"""A mask above this share of the picture singles nothing out."""

INVERTED_SHARE = 0.5
INVERTED_BORDER = 0.85
"""Above both shares, of the picture and of its border, a mask looks inverted."""

EQUAL_IOU = 0.95
OVERLAP_SHARE = 0.1


class SceneConcept(NamedTuple):
    """One thing to learn."""

    name: str
    mask: BoolMask
    """HxW at the scene's size, true where the thing is."""


def check_scene(
    image_size: tuple[int, int],
    concepts: Sequence[SceneConcept],
    *,
    grid: int = 16,
    rule: GridRule = "nearest",
) -> list[Finding]:
    """Everything that is wrong or odd with the masks, errors first.

    `image_size` is (width, height) in pixels, `grid` the side of the attention grid (method
    equation 2) at which a mask must still be visible, `rule` how masks get there.
    """
    if not concepts:
        return [
            Finding("error", "there is no mask", "give one mask per thing with --masks, in white")
        ]
    findings = [*_check_names(concepts), *_check_count(concepts)]
    usable: list[SceneConcept] = []
    for concept in concepts:
        broken = _check_shape(concept, image_size)
        findings += [broken] if broken else _check_shares(concept, grid, rule)
        if not broken and concept.mask.any():
            usable.append(concept)
    for first, second in itertools.combinations(usable, 2):
        findings += _check_pair(first, second)
    return sorted(findings, key=lambda finding: finding.level != "error")


def looks_inverted(mask: BoolMask) -> bool:
    """Whether a mask covers most of the picture and its border, but not all of it."""
    return INVERTED_SHARE < float(mask.mean()) < 1.0 and _border_share(mask) > INVERTED_BORDER


def _check_names(concepts: Sequence[SceneConcept]) -> list[Finding]:
    names = [concept.name for concept in concepts]
    return [
        Finding("error", f"two masks are named {name!r}", "rename one of the files", name)
        for name in sorted(set(names))
        if names.count(name) > 1
    ]


def _check_count(concepts: Sequence[SceneConcept]) -> list[Finding]:
    if len(concepts) <= PAPER_MAX_CONCEPTS:
        return []
    return [
        Finding(
            "warning",
            f"{len(concepts)} concepts: the method is known to work with up to "
            f"{PAPER_MAX_CONCEPTS}",
            "leave some out or split them over two runs",
        )
    ]


def _check_shape(concept: SceneConcept, image_size: tuple[int, int]) -> Finding | None:
    height, width = concept.mask.shape
    if (width, height) == image_size:
        return None
    return Finding(
        "error",
        f"the mask {concept.name!r} is {width}x{height}, the image {image_size[0]}x{image_size[1]}",
        "draw the mask on the image at its full size",
        concept.name,
    )


def _check_shares(concept: SceneConcept, grid: int, rule: GridRule) -> list[Finding]:
    name, mask = concept
    area = int(mask.sum())
    share = area / mask.size
    if area == 0:
        return [
            Finding("error", f"the mask {name!r} is empty", "paint the thing white on black", name)
        ]
    background = name in BACKGROUND_NAMES
    if looks_inverted(mask) and not background:
        return [
            Finding(
                "warning",
                f"the mask {name!r} looks inverted: it covers {share:.0%} and nearly all of "
                "the border",
                "the thing must be white, the rest black",
                name,
                "inverted",
            )
        ]
    if share > FULL_SHARE and not background:
        return [
            Finding(
                "warning",
                f"the mask {name!r} covers {share:.0%} of the picture",
                "mask only the thing, loosely",
                name,
            )
        ]
    remedy = "crop the picture closer to the thing or mask it more loosely"
    if area < mask.size / grid**2:
        small = f"the mask {name!r} is smaller than a cell of the {grid}x{grid} attention grid"
        return [Finding("warning", small, remedy, name)]
    if rule in ("nearest", "grown") and falls_between(mask, grid):
        cells = grid_cells(mask, grid, rule=rule)
        thin = f"the mask {name!r} is thinner than the {grid}x{grid} attention grid"
        return [Finding("warning", f"{thin}: all {cells} cells it touches count", remedy, name)]
    return []


def _border_share(mask: BoolMask) -> float:
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(border.mean())


def _check_pair(first: SceneConcept, second: SceneConcept) -> list[Finding]:
    common = int(np.count_nonzero(first.mask & second.mask))
    areas = int(first.mask.sum()), int(second.mask.sum())
    iou = common / (sum(areas) - common)
    if iou > EQUAL_IOU:
        return [
            Finding(
                "warning",
                f"the masks {first.name!r} and {second.name!r} are nearly equal ({iou:.0%})",
                "drop one, or give each thing its own mask",
                second.name,
            )
        ]
    share = common / min(areas)
    if share <= OVERLAP_SHARE:
        return []
    small, large = (first, second) if areas[0] <= areas[1] else (second, first)
    return [
        Finding(
            "warning",
            f"{share:.0%} of the mask {small.name!r} lies in {large.name!r} too",
            "fine for a part of a whole, else separate the two",
            small.name,
        )
    ]
