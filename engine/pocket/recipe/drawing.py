"""Pictures of the evaluation: drawn with seeds, kept as sheets."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from engine.families.devices import mixed_precision
from engine.pocket.recipe.composer import SIDE

STEPS, GUIDANCE = 20, 3.0


def load_pipeline(folder: Path):
    """The model as a StableDiffusionPipeline in single precision."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make(pipe, prompts: Sequence[str], seed: int, batch: int = 18) -> list[Image.Image]:
    """One picture a prompt; picture i has the seed ``seed + i``."""
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), batch):
        some = list(prompts[start : start + batch])
        numbers = range(seed + start, seed + start + len(some))
        generators = [torch.Generator().manual_seed(number) for number in numbers]
        with mixed_precision("cpu"):
            out = pipe(
                some, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generators
            )
        pictures.extend(picture.resize((SIDE, SIDE)) for picture in out.images)
    return pictures


def sheet(rows: Sequence[Sequence[Image.Image]], path: Path) -> None:
    """Write pictures as a table."""
    wide = max(len(row) for row in rows)
    page = Image.new("RGB", (wide * SIDE, len(rows) * SIDE), (40, 40, 40))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            page.paste(picture.resize((SIDE, SIDE)), (x * SIDE, y * SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    # A palette: half the bytes, and no eye sees the difference at this size.
    page.quantize(256).save(path, optimize=True)


def chunks(pictures: Sequence[Image.Image], wide: int) -> list[Sequence[Image.Image]]:
    """Rows of ``wide`` pictures."""
    return [pictures[start : start + wide] for start in range(0, len(pictures), wide)]
