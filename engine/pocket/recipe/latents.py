"""Composed scenes as latents on disk: what the diffusion model is trained on.

Shapes: N scenes, O objects (padded), h = w = 16 latent side, T tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from engine.core.errors import UserError
from engine.families.devices import mixed_precision
from engine.pocket.recipe import tokenizer as words
from engine.pocket.recipe.composer import MAX_OBJECTS, Composer, Mixture
from engine.pocket.recipe.vae_training import to_tensor

SHARD = 512
"""Scenes in one file."""

DOWN = 8
"""Pixels a latent cell."""


class Scenes(NamedTuple):
    """Training scenes, one row each."""

    latents: torch.Tensor
    """(N, C, h, w) float16: posterior mean, not yet times the scaling factor."""

    masks: torch.Tensor
    """(N, O, h, w) uint8: share of each cell that an object covers, 255 = all."""

    ids: torch.Tensor
    """(N, T) int16: token ids of the caption."""

    positions: torch.Tensor
    """(N, O) int16: position of each object's last token, 0 for none."""


def cells(masks: np.ndarray) -> torch.Tensor:
    """Masks (O, SIDE, SIDE) in 0..1 to (O, h, w) uint8 of covered shares."""
    shares = F.avg_pool2d(torch.from_numpy(masks)[None], DOWN)[0]
    return (shares * 255).round().to(torch.uint8)


@torch.inference_mode()
def make_shard(
    number: int,
    composer: Composer,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    mixture: Mixture,
    seed: int,
    device: str = "cpu",
) -> Scenes:
    """Compose and encode the scenes of one shard; the same number gives the same shard."""
    rng = np.random.default_rng([seed, number])
    masks = torch.zeros(SHARD, MAX_OBJECTS, 16, 16, dtype=torch.uint8)
    ids = torch.zeros(SHARD, words.MAX_TOKENS, dtype=torch.int16)
    positions = torch.zeros(SHARD, MAX_OBJECTS, dtype=torch.int16)
    parts, images = [], []
    for row in range(SHARD):
        scene = composer.draw(rng, mixture)
        count = len(scene.names)
        tokens, places = words.last_tokens(tokenizer, scene.caption, scene.names)
        ids[row] = torch.tensor(tokens, dtype=torch.int16)
        positions[row, :count] = torch.tensor(places, dtype=torch.int16)
        masks[row, :count] = cells(scene.masks)
        images.append(scene.image)
        if len(images) == 16 or row == SHARD - 1:
            with mixed_precision(device):
                mean = vae.encode(to_tensor(images).to(device)).latent_dist.mode()
            parts.append(mean.half().cpu())
            images = []
    # The encoder answers in whatever memory order suits its convolutions.
    return Scenes(torch.cat(parts).contiguous(), masks, ids, positions)


def make(
    folder: Path,
    numbers: Sequence[int],
    composer: Composer,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    mixture: Mixture,
    seed: int = 23,
    device: str = "cpu",
) -> None:
    """Write the shards of these numbers that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"{number:05d}.safetensors"
        if path.exists():
            continue
        scenes = make_shard(number, composer, tokenizer, vae, mixture, seed, device)
        fresh = path.with_suffix(".new")
        save_file(scenes._asdict(), fresh)
        fresh.replace(path)
        print(f"latents {number}", flush=True)


def load(folder: Path, count: int) -> Scenes:
    """The first ``count`` shards as one set of rows."""
    whole: Scenes | None = None
    for number in range(count):
        # Row by row into one block: a list of shards would hold everything twice.
        shard = Scenes(**load_file(folder / f"{number:05d}.safetensors"))
        size = len(shard.ids)
        if whole is None:
            whole = Scenes(*(part.new_empty(count * size, *part.shape[1:]) for part in shard))
        for rows, part in zip(whole, shard, strict=True):
            rows[number * size : (number + 1) * size] = part
    if whole is None:
        raise UserError(f"no scenes in {folder}", "run --stage latents first")
    return whole


def available(folder: Path) -> int:
    """How many shards, counted from the first without a gap, are on disk."""
    count = 0
    while (folder / f"{count:05d}.safetensors").exists():
        count += 1
    return count
