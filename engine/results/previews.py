"""Preview pictures of a running training: own seeds, nothing of the training state is touched."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from engine.core.prompt_grammar import PAPER_GRAMMAR, Grammar
from engine.drawing.sampler import at_once, draw
from engine.families.contract import Family
from engine.files.atomic import write_atomic


def preview_prompts(
    prefix: str,
    names: Sequence[str],
    grammar: Grammar = PAPER_GRAMMAR,
    *,
    background: int | None = None,
) -> list[str]:
    """One prompt per token (`names` holds them as training does), then all together.

    `background`: which of the names is the background's.
    """
    alone = [grammar.training_prompt(prefix, [name]) for name in names]
    if len(names) < 2:
        return alone
    things = [name for index, name in enumerate(names) if index != background]
    ground = "" if background is None else names[background]
    return [*alone, grammar.training_prompt(prefix, things, background=ground)]


def render_preview(
    family: Family,
    prompts: Sequence[str],
    *,
    seed: int,
    steps: int,
    guidance: float,
    resolution: int,
    sampler: str = "ddim",
) -> Image.Image:
    """A row of pictures, one per prompt.

    The seeds are the previews' own and stay the same over the run, so that successive previews
    differ by training alone.
    """
    seeds = [seed + index for index in range(len(prompts))]
    pictures = draw(
        family, prompts, seeds=seeds, steps=steps, guidance=guidance, resolution=resolution,
        sampler=sampler, batch=at_once(family.device),
    )  # fmt: skip
    return Image.fromarray(np.concatenate(list(pictures), axis=1))


def save_picture(
    picture: Image.Image, path: Path, info: PngImagePlugin.PngInfo | None = None
) -> None:
    """Write a PNG in one piece, so that a viewer never reads half of it."""
    write_atomic(path, png_bytes(picture, info))


def png_bytes(picture: Image.Image, info: PngImagePlugin.PngInfo | None = None) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
