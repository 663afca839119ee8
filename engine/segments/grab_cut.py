"""Box -> mask by GrabCut (Rother et al. 2004): seconds of work, so call it off the event loop."""

from __future__ import annotations

import cv2
import numpy as np

from engine.core.errors import UserError
from engine.scenes.mask_ops import Mask, Picture, grow, mask_box
from engine.scenes.pixel_box import Box

CONTEXT = 0.35
"""Picture around the box that is looked at, as a share of the box's side."""
WORK_SIDE = 384
"""Longest side at which the colours are modelled; larger boxes are halved until they fit."""
MIN_SIDE = 4
REACH = 0.08
"""How far outside a rough mask the thing may go on, as a share of the mask's side."""


def box_to_mask(
    image: Picture,
    box: Box,
    *,
    inside: Mask | None = None,
    outside: Mask | None = None,
    iterations: int = 5,
) -> Mask:
    """The thing inside `box`, as an HxW mask that is empty outside the box.

    `inside` and `outside` (HxW) mark pixels known to belong to the thing, or not to. The result
    is the same for the same input. Raises UserError for a box that is too small or leaves no
    background, and where nothing stands out from it.
    """
    height, width = image.shape[:2]
    box = box.clip(width, height)
    if box.width < MIN_SIDE or box.height < MIN_SIDE:
        raise UserError("the box is too small to find a thing in", "drag a larger box")
    if box.width * box.height > 0.97 * width * height:
        raise UserError(
            "the box covers the whole picture", "leave some background around the thing"
        )
    window = Box(
        box.x0 - round(CONTEXT * box.width) - 2,
        box.y0 - round(CONTEXT * box.height) - 2,
        box.x1 + round(CONTEXT * box.width) + 2,
        box.y1 + round(CONTEXT * box.height) + 2,
    ).clip(width, height)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[box.slices] = cv2.GC_PR_FGD
    if inside is not None:
        labels[box.slices][inside[box.slices]] = cv2.GC_FGD
    if outside is not None:
        labels[outside] = cv2.GC_BGD
    found = _grab_cut(image[window.slices], labels[window.slices], iterations)
    mask = np.zeros((height, width), np.bool_)
    mask[window.slices] = found
    if not mask.any():
        raise UserError("nothing stands out in that box", "paint a dab on the thing and box again")
    return mask


def cut_from(image: Picture, guess: Mask, inside: Mask, outside: Mask) -> Mask | None:
    """A rough mask (HxW) led to the edges of the colours; None where they cannot be told apart."""
    height, width = guess.shape
    around = mask_box(guess | inside)
    if around.empty:
        return None
    reach = round(REACH * max(around.width, around.height)) + 2
    window = Box(
        around.x0 - 2 * reach, around.y0 - 2 * reach, around.x1 + 2 * reach, around.y1 + 2 * reach
    ).clip(width, height)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[grow(guess, reach)] = cv2.GC_PR_BGD
    labels[guess] = cv2.GC_PR_FGD
    labels[inside] = cv2.GC_FGD
    labels[outside] = cv2.GC_BGD
    try:
        found = _grab_cut(image[window.slices], labels[window.slices], 3)
    except UserError:
        return None
    mask = np.zeros((height, width), np.bool_)
    mask[window.slices] = found
    return mask if mask.any() else None


def _grab_cut(image: Picture, labels: Picture, iterations: int) -> Mask:
    height, width = labels.shape
    factor = 1
    while max(height, width) / factor > WORK_SIDE:
        factor *= 2
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    work = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    # GrabCut starts with k-means over OpenCV's generator of this thread: same box, same mask.
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            np.ascontiguousarray(small[:, :, ::-1]), work, (0, 0, 0, 0),
            np.zeros((1, 65)), np.zeros((1, 65)), iterations, cv2.GC_INIT_WITH_MASK,
        )  # fmt: skip
    except cv2.error as error:
        raise UserError(
            "the colours in that box cannot be told apart", "use the brush or flood fill"
        ) from error
    soft = ((work == cv2.GC_FGD) | (work == cv2.GC_PR_FGD)).astype(np.float32)
    full = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    full[labels == cv2.GC_BGD] = False
    full[labels == cv2.GC_FGD] = True
    return np.asarray(full)
