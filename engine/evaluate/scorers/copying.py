"""Copy-paste share: how near a picture is to the input scene as a whole.

Identity can be won by painting the training picture again (over-fitting). This scorer compares
thumbnails, pixel by pixel, and needs no network. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.evaluate.scorers.base import COPY, WHOLE, Measure, Pixels, SceneView, Shot

THUMBNAIL = 32
"""Side of the compared thumbnails in pixels."""

COPIED = 0.8
"""A picture above this correlation counts as a copy; see `docs/evaluation.md`."""


class CopyScorer:
    """Highest correlation of the picture's thumbnail with the scene's or its mirror image's."""

    name = "copy"
    version = "1"

    def measure(self, scene: SceneView, shots: Sequence[Shot]) -> list[tuple[Measure, ...]]:
        """One measure a shot: correlation over pixels and colours, 0..1 (negative ones are 0)."""
        original = _thumbnail(scene.image)
        views = [_centred(original), _centred(original[:, ::-1])]
        answers: list[tuple[Measure, ...]] = []
        for shot in shots:
            small = _centred(_thumbnail(shot.picture))
            nearness = max(float((small * view).sum()) for view in views)
            answers.append((Measure(COPY, WHOLE, max(0.0, nearness)),))
        return answers


def _thumbnail(pixels: Pixels) -> npt.NDArray[np.float64]:
    size = THUMBNAIL, THUMBNAIL
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float64)


def _centred(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean colour removed, length one: the mean would make any two bright pictures alike."""
    centred = values - values.mean(axis=(0, 1))
    length = np.sqrt((centred**2).sum())
    return centred / length if length > 1e-6 else centred * 0
