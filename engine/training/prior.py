"""Prior preservation: pictures of the untrained base model, sampled once and kept in the cache.

The released script samples 100 pictures of "a photo at the beach"; the paper does not mention
them (an author: "helps a bit against over-fitting").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.drawing.sampler import draw
from engine.families.contract import Family, Posterior
from engine.families.devices import autocast
from engine.files.weights_io import load_tensors, save_tensors
from engine.runs.events import Progress


def prior_folder(
    cache: Path, *, base_hash: str, prompt: str, steps: int, guidance: float, resolution: int
) -> Path:
    """Where the prior pictures of these settings lie, shared by all runs."""
    key = f"{base_hash}|{prompt}|{steps}|{guidance}|{resolution}"
    return cache / "prior" / hashlib.sha256(key.encode()).hexdigest()[:20]


def prepare_prior(
    family: Family,
    folder: Path,
    *,
    prompt: str,
    count: int,
    steps: int,
    guidance: float,
    resolution: int,
    precision: str,
) -> Iterator[Progress]:
    """Sample and encode what is missing; every finished picture stays when the run is killed.

    Picture k has seed k, whatever came before, so the folder's content does not depend on how
    often the work was interrupted.
    """
    for index in range(count):
        encoded = folder / f"{index:04d}.safetensors"
        if encoded.is_file():
            continue
        yield Progress(stage="prior", done=index, total=count, label=prompt)
        # Not around the yields: the caller's code between them would run in half precision too.
        with autocast(family.device, precision):
            drawn = draw(
                family,
                [prompt],
                seeds=[index],
                steps=steps,
                guidance=guidance,
                resolution=resolution,
            )
            picture = next(drawn)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index:04d}.png")
        pixels_HWC = torch.from_numpy(np.ascontiguousarray(picture)).float() / 127.5 - 1
        posterior = family.codec.encode(pixels_HWC.permute(2, 0, 1)[None])
        save_tensors(encoded, {"mean": posterior.mean[0], "std": posterior.std[0]})
    yield Progress(stage="prior", done=count, total=count, label=prompt)


def load_prior(folder: Path, count: int) -> Posterior:
    """Posteriors of the first `count` prior pictures; (count, C, H, W) each."""
    stored = [load_tensors(folder / f"{index:04d}.safetensors") for index in range(count)]
    return Posterior(
        torch.stack([tensors["mean"] for tensors in stored]),
        torch.stack([tensors["std"] for tensors in stored]),
    )
