"""What of a run goes into a concept pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.files.weights_io import load_tensors
from engine.models.names import BASE_MODELS, HUB_ID
from engine.results.exports.base_facts import BaseFacts
from engine.results.exports.learned import Learned
from engine.results.exports.lora_names import peft_tensors
from engine.results.exports.low_rank import LowRank
from engine.results.exports.pack import CHANGE, LORA, MASK_SIDE, PackFacts
from engine.scenes.scene import open_saved_scene

PREVIEW_SIDE, PICTURE_SIDE = 512, 256


def pack_facts(learned: Learned, base: BaseFacts, title: str, licence: str, rank: int) -> PackFacts:
    """The header; a base model that only this machine has is named without its path."""
    manifest = learned.manifest
    public = manifest.base in BASE_MODELS or HUB_ID.fullmatch(manifest.base)
    opening = str(learned.recipe.get("prompt", "a photo of"))
    tokens = [f"<{concept.name}>" for concept in learned.concepts]
    prompts = [f"{opening} {token} in snow" for token in tokens]
    if len(tokens) > 1:
        prompts.append(f"{opening} {' and '.join(tokens)} on the beach")
    return PackFacts(
        title=title,
        base=manifest.base if public else _private(base.name),
        base_sha256=base.sha256,
        kind=base.kind,
        concepts=learned.concepts,
        settings=manifest.settings,
        method=manifest.method,
        step=learned.step,
        prompts=tuple(prompts),
        licence=licence,
        base_licence=base.licence,
        scene_sha256=manifest.scene_hash,
        created=manifest.created,
        versions=dict(manifest.versions or {}),
        rank=rank,
    )


def _private(name: str) -> str:
    """The name of a folder or file: one that is called like a public model is not that model."""
    return f"{name} (a model of its author)" if name in BASE_MODELS else name


def pack_tensors(
    learned: Learned, layers: Mapping[str, LowRank] | None, *, with_picture: bool
) -> dict[str, torch.Tensor]:
    """The tensors; `layers` in the place of the whole change where they are given."""
    tensors = dict(learned.rows)
    if layers is not None:
        tensors |= {LORA + name: tensor for name, tensor in peft_tensors(layers).items()}
    else:
        for path, prefix in ((learned.lora_file, LORA), (learned.changes_file, CHANGE)):
            if path is not None:
                tensors |= {prefix + name: tensor for name, tensor in load_tensors(path).items()}
    previews = sorted(learned.run.previews.glob("*.png"))
    if previews:
        tensors["preview"] = _small(Image.open(previews[-1]), PREVIEW_SIDE)
    if with_picture and learned.run.scene.is_dir():
        tensors |= _scene(learned.run.scene)
    return tensors


def _scene(folder: Path) -> dict[str, torch.Tensor]:
    scene = open_saved_scene(folder)
    masks = [
        Image.fromarray(concept.mask.astype(np.uint8) * 255).resize((MASK_SIDE, MASK_SIDE))
        for concept in scene.concepts
    ]
    return {
        "picture": _small(Image.fromarray(scene.image), PICTURE_SIDE),
        "masks": torch.from_numpy(np.stack([np.asarray(mask) for mask in masks])),
    }


def _small(picture: Image.Image, side: int) -> torch.Tensor:
    picture = picture.convert("RGB")
    picture.thumbnail((side, side))
    return torch.from_numpy(np.array(picture))
