"""Finds a thing of a class in a picture: MaskFormer, panoptic segmentation (paper, 4.1)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import MaskFormerForInstanceSegmentation, MaskFormerImageProcessorPil

from engine.core.errors import UserError
from engine.evaluate.scorers.base import Pixels
from engine.evaluate.scorers.hub_models import pretrained, weights_sum


class Segmenter:
    """A panoptic MaskFormer from a folder or a hub id; raises UserError."""

    def __init__(self, source: str, device: torch.device) -> None:
        purpose = "finding things in pictures"
        self._device = device
        self._processor: Any = pretrained(
            MaskFormerImageProcessorPil.from_pretrained, source, purpose
        )
        model: Any = pretrained(
            MaskFormerForInstanceSegmentation.from_pretrained,
            source,
            purpose,
            use_safetensors=True,
            dtype=torch.float32,
        )
        self._model = model.eval().to(device)
        self.version = weights_sum(self._model)
        self._labels = {
            label_key(name): int(index) for index, name in self._model.config.id2label.items()
        }

    def label_of(self, word: str) -> int:
        """The segmenter's label of a class word; raises UserError where it knows none."""
        label = self._labels.get(label_key(word))
        if label is None:
            raise UserError(
                f"the segmenter knows no class {word!r}",
                "name the concept by a class of the segmenter, such as dog or chair",
            )
        return label

    @torch.inference_mode()
    def segments(self, picture: Pixels) -> dict[int, npt.NDArray[np.bool_]]:
        """The union of all segments of each label found in a picture, (H, W) each."""
        size = (picture.shape[0], picture.shape[1])
        inputs = self._processor(picture, return_tensors="pt")
        out = self._model(
            pixel_values=inputs["pixel_values"].to(self._device),
            pixel_mask=inputs["pixel_mask"].to(self._device),
        )
        found = self._processor.post_process_panoptic_segmentation(
            out, target_sizes=[size], label_ids_to_fuse=set()
        )[0]
        numbers = found["segmentation"].cpu().numpy()
        masks: dict[int, npt.NDArray[np.bool_]] = {}
        for segment in found["segments_info"]:
            mask = numbers == segment["id"]
            if mask.any():
                label = int(segment["label_id"])
                masks[label] = masks[label] | mask if label in masks else mask
        return masks


def label_key(name: str) -> str:
    """`Dining table-merged` and `dining table` are the same class."""
    return re.sub(r"-(merged|other|stuff)(-merged)?$", "", name.strip().lower().replace("_", " "))
