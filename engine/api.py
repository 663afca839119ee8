"""The library in one import, for scripts and notebooks: load, train, draw. No terminal needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.core.settings import build_config
from engine.drawing.sampler import draw as _draw
from engine.families.devices import choose_device, choose_precision
from engine.families.loading import LoadedBase, load_family
from engine.families.placement import each_computing
from engine.models.facts import recipe_settings
from engine.pocket import DEFAULT_DEMO, demo_scenes
from engine.pocket import demo_scene as _demo_files
from engine.runs.events import Event
from engine.scenes.scene import Scene
from engine.scenes.scene import load_scene as _load_scene
from engine.training.loop import train

__all__ = [
    "LoadedBase",
    "Scene",
    "config_for",
    "demo_scene",
    "draw",
    "load_base",
    "load_scene",
    "train",
]


def demo_scene(name: str = DEFAULT_DEMO) -> Scene:
    """One of the bundled pictures with its masks, as `bas demo --list` names them.

    Raises UserError for another name.
    """
    if name not in demo_scenes():
        raise UserError(
            f"there is no demo scene {name!r}", f"take one of {', '.join(demo_scenes())}"
        )
    picture, masks = _demo_files(name)
    return _load_scene(picture, list(masks.values()))


def load_scene(
    path: str | Path, masks: Sequence[str | Path] = (), *, inverted: bool | None = None
) -> Scene:
    """A picture with one mask per thing; without `masks`, those beside the picture are taken.

    `inverted`: whether the things are what is black in the masks; None refuses masks that look so.
    Raises UserError, one line with the remedy, for files that cannot be used.
    """
    return _load_scene(Path(path), [Path(mask) for mask in masks], inverted=inverted)


def load_base(base: str, device: str = "auto") -> LoadedBase:
    """A base model: `pocket`, `sd15`, `sd21`, `sdxl`, a folder, a safetensors file or a hub id."""
    return load_family(base, device=choose_device(device), report=_ignore)


def config_for(base: str, settings: Mapping[str, Any] | None = None) -> TrainConfig:
    """The base model's recommended settings with your own dotted ones on top."""
    return build_config(recipe_settings(base), settings or {})


def draw(
    base: LoadedBase,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    config: TrainConfig | None = None,
    negative: str = "",
) -> Iterator[np.ndarray]:
    """One picture per prompt and seed, uint8 (H, W, 3), with the configuration's sampling.

    Tokens are read with the article that the configuration's training put before them.
    """
    config = config or TrainConfig()
    grammar = replace(config.grammar, nouns=False)
    family = base.family
    precision = choose_precision(config.precision, family.device)
    drawn = _draw(
        family,
        [grammar.spoken(prompt) for prompt in prompts],
        seeds=seeds,
        steps=config.sampling.steps,
        guidance=config.sampling.guidance,
        negative=negative,
        resolution=config.resolution or None,
    )
    yield from each_computing(drawn, family, precision)


def _ignore(event: Event) -> None:
    """Loading has news for front ends; a script reads the events of `train` instead."""
