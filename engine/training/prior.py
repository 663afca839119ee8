"""Prior preservation: pictures of the untrained base model, sampled once and kept in the cache.

The released script samples 100 pictures of "a photo at the beach"; the paper does not mention
them (an author: "helps a bit against over-fitting").
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.core.config import BaseConfig
from engine.core.durations import say_seconds
from engine.core.errors import BasError
from engine.drawing.sampler import Cancelled, Denoised, at_once, draw
from engine.families.contract import Family, Posterior
from engine.families.placement import each_computing
from engine.files.atomic import remove_leftovers
from engine.files.space import is_full
from engine.files.weights_io import load_tensors, save_tensors
from engine.models.hashing import weights_sha256
from engine.results.previews import save_picture
from engine.runs.events import Event, Notice, Progress

RETRY_SECONDS = 1.0
WORTH_SAYING = 600.0
"""Seconds of prior pictures that nobody would expect."""
LEFTOVER_SECONDS = 86400.0
"""Runs share the folder: what is a day old is nobody's present work."""


def prior_folder(
    cache: Path,
    *,
    base_hash: str,
    prompt: str,
    steps: int,
    guidance: float,
    resolution: int,
    sampler: str = "ddim",
    base: BaseConfig | None = None,
) -> Path:
    """Where the prior pictures of these settings lie, shared by all runs.

    `base`: what a person says of the model beside its files.
    """
    key = f"{base_hash}|{prompt}|{steps}|{guidance}|{resolution}"
    if sampler != "ddim":
        key += f"|{sampler}"
    if base is not None and base.predicts:
        key += f"|{base.predicts}"
    if base is not None and base.vae:
        key += f"|{_own_weights(Path(base.vae))}"
    return cache / "prior" / hashlib.sha256(key.encode()).hexdigest()[:20]


def _own_weights(vae: Path) -> str:
    files = sorted(vae.rglob("*.safetensors")) if vae.is_dir() else [vae]
    return weights_sha256(files)


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
    sampler: str = "ddim",
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event | None]:
    """Sample and encode what is missing; every finished picture stays when the run is killed.

    Picture k has seed k, whatever came before, so the folder's content does not depend on how
    often the work was interrupted. A damaged file is made again; while the disk is full it waits,
    and yields None to be asked whether to go on. Raises Cancelled when `stopped` says so, also
    within a picture: on a processor one takes minutes.
    """

    def look(_step: Denoised) -> None:
        if stopped():
            raise Cancelled

    remove_leftovers(folder, older_than=LEFTOVER_SECONDS)
    missing = [index for index in range(count) if not _is_whole(_file(folder, index))]
    drawn = draw(
        family,
        [prompt] * len(missing),
        seeds=missing,
        steps=steps,
        guidance=guidance,
        resolution=resolution,
        sampler=sampler,
        on_step=look,
        batch=at_once(family.device),
    )
    began = time.monotonic()
    pictures = each_computing(drawn, family, precision)
    for number, index in enumerate(missing):
        yield Progress(stage="prior", done=count - len(missing) + number, total=count, label=prompt)
        picture = next(pictures)
        posterior = family.codec.encode(picture[None])
        tensors = {"mean": posterior.mean[0], "std": posterior.std[0]}
        yield from _save(_file(folder, index), picture, tensors)
        left = (len(missing) - 1) * (time.monotonic() - began)
        if number == 0 and left > WORTH_SAYING and at_once(family.device) == 1:
            yield Notice(
                level="info",
                message=f"{len(missing) - 1} more prior pictures take about "
                f"{say_seconds((left, left))} here; they are made once and kept",
                remedy="stop and go on whenever you like; fewer: --set loss.prior_images=20",
            )
    yield Progress(stage="prior", done=count, total=count, label=prompt)


def load_prior(folder: Path, count: int) -> Posterior:
    """Posteriors of the first `count` prior pictures; (count, C, H, W) each."""
    stored = [load_tensors(_file(folder, index)) for index in range(count)]
    return Posterior(
        torch.stack([tensors["mean"] for tensors in stored]),
        torch.stack([tensors["std"] for tensors in stored]),
    )


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:04d}.safetensors"


def _is_whole(path: Path) -> bool:
    try:
        return set(load_tensors(path)) == {"mean", "std"}
    except BasError:
        return False


def _save(
    path: Path, picture: np.ndarray, tensors: dict[str, torch.Tensor]
) -> Iterator[Event | None]:
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_picture(Image.fromarray(picture), path.with_suffix(".png"))
            save_tensors(path, tensors)
            return
        except OSError as error:
            if not is_full(error):
                raise
        if not told:
            told = True
            yield Notice(
                level="warning",
                message=f"the disk of {path.parent} is full",
                remedy="free some space; the run waits and goes on by itself",
            )
        time.sleep(RETRY_SECONDS)
        yield None
