"""Draws a document's picture with its masks at display size: (2*rows, columns, 3) RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from bas_tui.tui.drawing.viewport import Viewport
from engine.scenes.mask_ops import Mask, Picture
from engine.scenes.pixel_box import Box, Point

Overlay = Literal["tint", "outline", "cut", "none"]
OVERLAYS: tuple[Overlay, ...] = ("tint", "outline", "cut", "none")
OVERLAY_HELP: dict[Overlay, str] = {
    "tint": "masks in colour over the picture",
    "outline": "only the masks' outlines",
    "cut": "only what the current mask keeps",
    "none": "the picture alone",
}

Coverage = npt.NDArray[np.float32]
"""Share of a dot that a mask covers: (dots down, dots across), 0..1."""


class Layer(NamedTuple):
    """A mask with its colour; layers are drawn in order."""

    mask: Mask
    color: tuple[int, int, int]
    active: bool


def sample_picture(image: Picture, view: Viewport) -> Picture:
    """The visible crop of the picture, one pixel per dot: means when shrinking, else nearest."""
    crop = image[view.crop.slices]
    how = cv2.INTER_AREA if view.scale > 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(crop, view.dots, interpolation=how), np.uint8)


def sample_mask(mask: Mask, view: Viewport) -> Coverage:
    """How much of each visible dot the mask covers."""
    crop = mask[view.crop.slices].astype(np.float32)
    how = cv2.INTER_AREA if view.scale > 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(crop, view.dots, interpolation=how), np.float32)


def compose(
    picture: Picture, layers: Sequence[tuple[Layer, Coverage]], overlay: Overlay, strength: float
) -> Picture:
    """The picture with the masks over it.

    Where two masks overlap, their colours alternate like a chessboard. `strength` is the opacity
    of a tint, 0..1.
    """
    out = picture.astype(np.float32)
    if overlay == "none":
        return picture
    if overlay == "cut":
        for layer, cover in layers:
            if layer.active:
                out *= 0.12 + 0.88 * cover[..., None]
        return out.round().astype(np.uint8)
    height, width = out.shape[:2]
    chessboard = np.indices((height, width)).sum(axis=0) % 2 == 0
    covered = np.zeros((height, width), np.bool_)
    for layer, cover in layers:
        solid = cover > 0.5
        color = np.array(layer.color, np.float32)
        if overlay == "tint":
            opacity = cover * (strength if layer.active else 0.7 * strength)
            opacity[covered & solid & chessboard] = 0
            out += (color - out) * opacity[..., None]
        edge = solid & ~_eroded(solid)
        out[edge] += (color - out[edge]) * (0.92 if layer.active else 0.6)
        covered |= solid
    return out.clip(0, 255).round().astype(np.uint8)


def dim_outside(pixels: Picture, view: Viewport, box: Box) -> None:
    """Darken, in place, what lies outside `box` (picture pixels)."""
    x0, y0 = view.to_dots(Point(box.x0, box.y0))
    x1, y1 = view.to_dots(Point(box.x1, box.y1))
    outside = np.ones(pixels.shape[:2], np.bool_)
    outside[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = False
    pixels[outside] = (pixels[outside] * 0.35).astype(np.uint8)


def draw_ring(pixels: Picture, view: Viewport, at: Point, radius: float, lit: bool) -> None:
    """Draw, in place, the brush's outline and a cross in its middle.

    `radius` is in picture pixels; `lit` marks a lowered brush.
    """
    column, half_row = view.to_dots(at)
    across = view.dots[0] / view.crop.width
    reach = radius * across
    x = np.arange(pixels.shape[1]) + 0.5 - column
    y = np.arange(pixels.shape[0]) + 0.5 - half_row
    distance = np.hypot(x, y[:, None])
    if reach > 1.2:
        _contrast(pixels, np.abs(distance - reach) < 0.6, 0.75 if lit else 0.55)
    row, place = int(half_row), int(column)
    spot = np.zeros(pixels.shape[:2], np.bool_)
    if 0 <= row < pixels.shape[0] and 0 <= place < pixels.shape[1]:
        spot[row, place] = True
    _contrast(pixels, spot, 1.0)


def draw_preview(pixels: Picture, cover: Coverage, color: tuple[int, int, int]) -> None:
    """Draw, in place, a mask that is not taken yet: striped, with a bright edge."""
    solid = cover > 0.5
    stripes = np.indices(solid.shape).sum(axis=0) % 4 < 2
    ink = np.array(color, np.float32)
    edge = solid & ~_eroded(solid)
    for where, opacity in ((solid & stripes, 0.6), (edge, 0.95)):
        part = pixels[where].astype(np.float32)
        pixels[where] = (part + (ink - part) * opacity).round().astype(np.uint8)


def draw_click(pixels: Picture, view: Viewport, at: Point, adds: bool) -> None:
    """Draw, in place, a place that is of the thing (a green dot) or is not (a red one)."""
    column, half_row = (int(value) for value in view.to_dots(at))
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            x, y = column + dx, half_row + dy
            if not (0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1]):
                continue
            if dx == dy == 0:
                pixels[y, x] = (40, 220, 90) if adds else (240, 60, 60)
            elif dx == 0 or dy == 0:
                pixels[y, x] = (255, 255, 255)


def draw_frame(pixels: Picture, view: Viewport, first: Point, second: Point) -> None:
    """Draw, in place, the outline of a box between two picture points."""
    (left, top), (right, bottom) = view.to_dots(first), view.to_dots(second)
    x0, x1 = int(min(left, right)), int(max(left, right))
    y0, y1 = int(min(top, bottom)), int(max(top, bottom))
    height, width = pixels.shape[0], pixels.shape[1]
    frame = np.zeros((height, width), np.bool_)
    rows = slice(max(0, y0), max(0, y1 + 1))
    columns = slice(max(0, x0), max(0, x1 + 1))
    for y in (y0, y1):
        if 0 <= y < height:
            frame[y, columns] = True
    for x in (x0, x1):
        if 0 <= x < width:
            frame[rows, x] = True
    dashes = np.indices(frame.shape).sum(axis=0) % 4 < 3
    _contrast(pixels, frame & dashes, 1.0)


def _contrast(pixels: Picture, where: Mask, amount: float) -> None:
    chosen = pixels[where].astype(np.float32)
    light = chosen @ np.array([0.299, 0.587, 0.114], np.float32)
    target = np.where(light[:, None] > 140, 0.0, 255.0)
    pixels[where] = (chosen + (target - chosen) * amount).round().astype(np.uint8)


def _eroded(mask: Mask) -> Mask:
    kernel = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    return cv2.erode(mask.astype(np.uint8), kernel).astype(bool)
