"""Whether an exported LoRA draws what the run draws: the same prompts and seeds with both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from engine.core.config import TrainConfig
from engine.families.loading import LoadedBase, load_for
from engine.models.resolve import Report
from engine.results.concepts import load_concepts
from engine.results.exports.change import Change
from engine.results.exports.learned import Learned
from engine.results.exports.loaded import add_changes, add_layers, draw_pictures
from engine.results.previews import save_picture
from engine.runs.events import Progress
from engine.runs.prompts import all_together, resolve_prompt

PICTURES = 4
SMALL_SIDE = 256
"""Pixels up to which a CPU draws the pictures in seconds."""
EQUAL_DB = 100.0
BAND = 14
"""Height of the words above a row of the sheet, pixels."""


def fits_in_seconds(device: torch.device, resolution: int) -> bool:
    """Whether the pictures are soon drawn: on an accelerator, or small ones."""
    return device.type != "cpu" or resolution <= SMALL_SIDE


def compare(
    learned: Learned,
    change: Change,
    config: TrainConfig,
    device: torch.device,
    sheet: Path,
    report: Report,
) -> list[float]:
    """PSNR in dB of each pair of pictures: drawn with the run, and with what is exported of it.

    Prompts are each token's in turn and all together; seeds 0, 1, ... Writes both rows to `sheet`.
    """
    manifest, concepts = learned.manifest, learned.concepts
    tokens = [concept.token for concept in concepts]
    kinds = [*tokens, all_together(concepts, manifest.grammar)] if len(tokens) > 1 else tokens
    prompts = [
        resolve_prompt(
            f"{config.prompt} {kinds[k % len(kinds)]}".strip(), concepts, manifest.grammar
        )
        for k in range(PICTURES)
    ]

    def base() -> LoadedBase:
        # A small change that is added to rounded weights is lost, and the figure with it.
        return load_for(
            learned.manifest.base, config, device=device, precision="fp32", report=report
        )

    def drawn(loaded: LoadedBase, first: int) -> list[np.ndarray]:
        pictures: list[np.ndarray] = []
        for picture in draw_pictures(loaded.family, prompts, range(PICTURES), config):
            pictures.append(picture)
            done = first + len(pictures)
            report(
                Progress(
                    stage="generate", done=done, total=2 * PICTURES, label="the same with both"
                )
            )
        return pictures

    loaded = base()
    load_concepts(learned.run.concepts, loaded.family, base_hash=loaded.base_hash)
    wanted = drawn(loaded, 0)
    del loaded
    loaded = base()
    loaded.family.text.add_tokens(learned.placeholder_rows)
    add_layers(loaded.family, change.layers)
    add_changes(loaded.family, change.rest)
    got = drawn(loaded, PICTURES)
    found = [psnr(a, b) for a, b in zip(wanted, got, strict=True)]
    words = ", ".join(f"{value:.1f}" for value in found)
    save_picture(_sheet([("with the run", wanted), (f"with its export: {words} dB", got)]), sheet)
    return found


def psnr(wanted: np.ndarray, got: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; `EQUAL_DB` at most."""
    error = np.square(wanted.astype(np.float64) - got.astype(np.float64)).mean()
    return EQUAL_DB if error == 0 else min(EQUAL_DB, float(10 * np.log10(255**2 / error)))


def _sheet(rows: Sequence[tuple[str, Sequence[np.ndarray]]]) -> Image.Image:
    height, width = rows[0][1][0].shape[:2]
    picture = Image.new("RGB", (width * PICTURES, (height + BAND) * len(rows)), "white")
    pen = ImageDraw.Draw(picture)
    for number, (words, pictures) in enumerate(rows):
        top = number * (height + BAND)
        pen.text((2, top + 1), words, fill="black")
        for column, drawn in enumerate(pictures):
            picture.paste(Image.fromarray(drawn), (column * width, top + BAND))
    return picture
