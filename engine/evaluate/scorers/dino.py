"""Identity similarity as in the paper: cosine of DINO features of the masked thing (4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import ViTImageProcessorPil, ViTModel

from engine.evaluate.scorers.base import IDENTITY, Measure, Pixels, SceneView, Shot
from engine.evaluate.scorers.hub_models import pretrained, weights_sum
from engine.evaluate.scorers.segmenter import Segmenter

BATCH = 16


class DinoIdentity:
    """DINO (the paper: ViT-B/16) from a folder or a hub id; raises UserError.

    The segmenter looks in the picture for the concept's class word. Nothing of that class: the
    measure is 0 and says `found=False`.
    """

    name = "dino"

    def __init__(self, source: str, segmenter: Segmenter, device: torch.device) -> None:
        purpose = "identity similarity"
        self._device, self._segmenter = device, segmenter
        self._processor: Any = pretrained(ViTImageProcessorPil.from_pretrained, source, purpose)
        model: Any = pretrained(
            ViTModel.from_pretrained,
            source,
            purpose,
            use_safetensors=True,
            dtype=torch.float32,
            add_pooling_layer=False,
        )
        self._model = model.eval().to(device)
        self.version = f"{weights_sum(self._model)}/{segmenter.version}"

    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """One measure for each concept of each shot's subset, -1..1."""
        labels = [self._segmenter.label_of(word) for word in scene.words]
        wanted_ND = self._embed([masked(scene.image, mask) for mask in scene.masks])
        answers: list[tuple[Measure, ...]] = []
        for shot in shots:
            segments = self._segmenter.segments(shot.picture)
            seen = [k for k in shot.subset if labels[k] in segments]
            cuts = [masked(shot.picture, segments[labels[k]]) for k in seen]
            rows = dict(zip(seen, self._embed(cuts), strict=True)) if seen else {}
            answers.append(
                tuple(
                    Measure(IDENTITY, k, float(torch.cosine_similarity(rows[k], wanted_ND[k], 0)))
                    if k in rows
                    else Measure(IDENTITY, k, 0.0, found=False)
                    for k in shot.subset
                )
            )
        return answers

    @torch.inference_mode()
    def _embed(self, pictures: Sequence[Pixels]) -> torch.Tensor:
        """The class token's features, (B, D)."""
        rows: list[torch.Tensor] = []
        for start in range(0, len(pictures), BATCH):
            inputs = self._processor(list(pictures[start : start + BATCH]), return_tensors="pt")
            out = self._model(pixel_values=inputs["pixel_values"].to(self._device))
            rows.append(out.last_hidden_state[:, 0])
        return torch.cat(rows)


def masked(picture: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """The picture with everything outside the mask painted black."""
    return np.where(mask[:, :, None], picture, np.uint8(0)).astype(np.uint8)
