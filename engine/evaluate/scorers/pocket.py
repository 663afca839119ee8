"""The embedded scorers of the `pocket` suite: small heads on a network the generator never met.

Their weights (`pocket.safetensors`, made by `pocket.recipe`) were fitted to composites of
objects that no suite shows. `bas eval check` measures them on composites of the suite's objects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from engine.evaluate.scorers.backbone import SIDE, Backbone, to_side
from engine.evaluate.scorers.base import (
    IDENTITY,
    PROMPT,
    WHOLE,
    Measure,
    Pixels,
    SceneView,
    Shot,
)
from engine.evaluate.scorers.regions import Mask, candidates, cut

HEADS_FILE = Path(__file__).with_name("pocket.safetensors")
LAYOUT = 4
"""Side of the coarse colour layout that the place head sees beside the network's features."""


class Heads(NamedTuple):
    """The fitted weights, float32."""

    segment_1: torch.Tensor
    """(LOCAL + 1, hidden), the last row the bias."""
    segment_2: torch.Tensor
    """(hidden + 1, 1)."""
    identity_mean: torch.Tensor
    """(POOLED,)."""
    identity: torch.Tensor
    """(POOLED, dimensions)."""
    place: torch.Tensor
    """(POOLED + 3 * LAYOUT**2 + 1, places), the last row the bias."""
    places: tuple[str, ...]
    version: str


def read_heads(path: Path = HEADS_FILE) -> Heads:
    """The heads of a file."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return Heads(**tensors, places=tuple(json.loads(metadata["places"])), version=metadata["sum"])


class Judge:
    """Backbone and heads; what both embedded scorers share."""

    def __init__(self, backbone: Backbone, heads: Heads) -> None:
        self.backbone, self.heads = backbone, heads

    @torch.inference_mode()
    def foreground(self, pictures: Sequence[Pixels]) -> list[Mask]:
        """Where things are in SIDE-sized pictures, (SIDE, SIDE) each."""
        local_BDGG = self.backbone.local_features(pictures)
        logits_BGG1 = segment(local_BDGG.permute(0, 2, 3, 1), self.heads)
        logits_B1GG = logits_BGG1.permute(0, 3, 1, 2)
        full = F.interpolate(logits_B1GG, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return [np.asarray(mask) for mask in (full[:, 0] > 0).numpy()]

    @torch.inference_mode()
    def embed(self, cuts: Sequence[Pixels]) -> torch.Tensor:
        """Identity embeddings of cut-out things, unit length, (B, dimensions)."""
        features = self.backbone.pooled_features(cuts)
        return F.normalize((features - self.heads.identity_mean) @ self.heads.identity, dim=1)

    def concepts(self, scene: SceneView) -> torch.Tensor:
        """Embeddings of the scene's concepts, (N, dimensions)."""
        return self.embed([cut(scene.image, mask, SIDE) for mask in scene.masks])

    def things(self, pictures: Sequence[Pixels]) -> list[torch.Tensor]:
        """Embeddings of the things found in each SIDE-sized picture, (regions, dimensions)."""
        found = [candidates(mask) for mask in self.foreground(pictures)]
        cuts = [
            cut(picture, mask, SIDE)
            for picture, masks in zip(pictures, found, strict=True)
            for mask in masks
        ]
        embedded = self.embed(cuts) if cuts else torch.zeros(0, self.heads.identity.shape[1])
        return list(embedded.split([len(masks) for masks in found]))

    @torch.inference_mode()
    def places(self, pictures: Sequence[Pixels]) -> torch.Tensor:
        """Probability of each place of `heads.places`, (B, places)."""
        rows = place_features(self.backbone, pictures)
        return (rows @ self.heads.place[:-1] + self.heads.place[-1]).softmax(1)


def segment(local_XD: torch.Tensor, heads: Heads) -> torch.Tensor:
    """Foreground logits of local features; (..., LOCAL) to (..., 1)."""
    hidden = (local_XD @ heads.segment_1[:-1] + heads.segment_1[-1]).relu()
    return hidden @ heads.segment_2[:-1] + heads.segment_2[-1]


def place_features(backbone: Backbone, pictures: Sequence[Pixels]) -> torch.Tensor:
    """Network features of whole pictures and their coarse colour layout."""
    features = backbone.pooled_features(pictures)
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    layout = F.adaptive_avg_pool2d(pixels, LAYOUT).flatten(1)
    return torch.cat([features, 0.3 * layout], 1)


@cache
def judge() -> Judge:
    """The judge of this process, loaded once."""
    return Judge(Backbone(), read_heads())


class PocketPrompt:
    """Prompt similarity: probability of the place that the prompt names, 0..1."""

    name = "pocket-prompt"

    def __init__(self) -> None:
        self._judge = judge()
        self.version = self._judge.heads.version

    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """One measure a shot. The class words are not judged: these scorers read no text."""
        del scene
        if not shots:
            return []
        shares = self._judge.places([to_side(shot.picture) for shot in shots])
        names = self._judge.heads.places
        return [
            (Measure(PROMPT, WHOLE, float(shares[row, names.index(shot.place)])),)
            for row, shot in enumerate(shots)
        ]


class PocketIdentity:
    """Identity similarity: the concept in the scene against the things found in the picture.

    Cosine of embeddings of cut-outs, negative ones counted as 0; the best region of the picture
    decides, for a region has no name. No region at all: 0 and not found.
    """

    name = "pocket-identity"

    def __init__(self) -> None:
        self._judge = judge()
        self.version = self._judge.heads.version

    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """One measure for each concept of each shot's subset."""
        if not shots:
            return []
        wanted_ND = self._judge.concepts(scene)
        found = self._judge.things([to_side(shot.picture) for shot in shots])
        return [
            tuple(identity_measure(wanted_ND[k], regions_RD, k) for k in shot.subset)
            for shot, regions_RD in zip(shots, found, strict=True)
        ]


def identity_measure(wanted_D: torch.Tensor, regions_RD: torch.Tensor, concept: int) -> Measure:
    """The best region's cosine; 0 and not found where there is none."""
    if not len(regions_RD):
        return Measure(IDENTITY, concept, 0.0, found=False)
    return Measure(IDENTITY, concept, max(0.0, float((regions_RD @ wanted_D).max())))
