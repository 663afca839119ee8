"""The background of a scene as a concept: everything that no other mask holds.

Shapes: HxW at the scene's size, true where the background is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from engine.core.errors import UserError
from engine.core.prompt_grammar import BACKGROUND_NAMES
from engine.scenes.checks import BoolMask, SceneConcept
from engine.scenes.mask_grid import mask_grid
from engine.scenes.scene import Scene

NAME = BACKGROUND_NAMES[0]
LEAST = 0.1
"""Less of the picture than this is no background to learn."""


def with_background(scene: Scene, cells: int) -> Scene:
    """The scene with one more concept, last: its background (paper, background extraction).

    `cells` is the side of the latents: cells that hold a part of a thing, and those beside them,
    are left out, so that no outline is learned as background. A scene that has a background keeps
    its own. Raises UserError as `background_mask` does.
    """
    if any(concept.name in BACKGROUND_NAMES for concept in scene.concepts):
        return scene
    rest = background_mask([concept.mask for concept in scene.concepts], cells)
    return dataclasses.replace(scene, concepts=(*scene.concepts, SceneConcept(NAME, rest)))


def background_mask(masks: Sequence[BoolMask], cells: int) -> BoolMask:
    """What lies at least a cell from every mask; all masks, one or more, are of one size.

    Raises UserError where the things leave too little of the picture.
    """
    things_HW = np.logical_or.reduce(masks)
    near_SS = mask_grid(mask_grid(things_HW[None], cells, rule="touch"), cells, rule="grown")[0] > 0
    height, width = things_HW.shape
    rows, columns = (np.arange(size) * cells // size for size in (height, width))
    rest_HW = ~near_SS[rows][:, columns]
    share = float(rest_HW.mean())
    if share < LEAST:
        raise UserError(
            f"the things leave {share:.0%} of the picture for a background",
            "mask the things more tightly, or train without a background",
        )
    return rest_HW
