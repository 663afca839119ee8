"""Generated pictures on disk: PNG with its recipe in text chunks, and contact sheets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.core.plain_text import plain
from engine.files.atomic import write_new
from engine.results.previews import png_bytes

SHEET_GAP = 4
SHEET_SIDE = 1024
"""Most pixels along the longer side of a picture on a sheet."""
SHEET_LETTERS = 10
"""Least height of a label's letters, pixels."""


def save_generated(
    picture: np.ndarray, folder: Path, stem: str, recipe: Mapping[str, object]
) -> Path:
    """Write a picture (uint8 H, W, 3) with `recipe` as PNG text; never overwrites another."""
    info = PngImagePlugin.PngInfo()
    for key, value in recipe.items():
        info.add_itxt(key, plain(str(value)))
    return write_new(folder, stem, ".png", png_bytes(Image.fromarray(picture), info))


def save_sheet(
    pictures: Sequence[np.ndarray], folder: Path, stem: str, labels: Sequence[str] = ()
) -> Path:
    """Write a contact sheet, as near to a square as the number of pictures allows.

    Pictures of one size; large ones are scaled down to SHEET_SIDE. `labels`: a line below each.
    """
    pictures = [_at_most(picture, SHEET_SIDE) for picture in pictures]
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    letters = max(SHEET_LETTERS, width // 24)
    if any(labels):
        below = [_label(text, width, letters) for text in labels]
        pictures = [np.concatenate(pair) for pair in zip(pictures, below, strict=True)]
        height = pictures[0].shape[0]
    shape = (rows * (height + SHEET_GAP) - SHEET_GAP, columns * (width + SHEET_GAP) - SHEET_GAP, 3)
    sheet = np.full(shape, 255, np.uint8)
    for index, picture in enumerate(pictures):
        top = index // columns * (height + SHEET_GAP)
        left = index % columns * (width + SHEET_GAP)
        sheet[top : top + height, left : left + width] = picture
    return write_new(folder, stem, ".png", png_bytes(Image.fromarray(sheet)))


def _label(text: str, width: int, letters: int) -> np.ndarray:
    """A white strip with a line of text, what does not fit cut off; uint8 (2 letters, width, 3)."""
    strip = Image.new("RGB", (width, 2 * letters), "white")
    font = ImageFont.load_default(letters)
    pen = ImageDraw.Draw(strip)
    while text and pen.textlength(text, font) > width:
        text = f"{text[:-2]}…" if len(text) > 2 else ""
    pen.text((0, letters // 4), text, "black", font)
    return np.asarray(strip)


def _at_most(picture: np.ndarray, side: int) -> np.ndarray:
    if max(picture.shape[:2]) <= side:
        return picture
    small = Image.fromarray(picture)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small)


def slug(prompt: str) -> str:
    """A file name's stem from a prompt: `asset0-and-asset1-in-snow`."""
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60].strip("-") or "picture"
