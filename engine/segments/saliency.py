"""U2-Net-p (Qin et al. 2020): what stands out in a picture, by OpenCV's own network runner.

The weights (4.6 MB) come with the package; NOTICE has their licence.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine.scenes.mask_ops import Picture

WEIGHTS = Path(__file__).with_name("u2netp.onnx")
SIDE = 320
"""The network sees squares of this side."""
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

_lock = threading.Lock()


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(str(WEIGHTS))


def saliency(image: Picture) -> npt.NDArray[np.float32]:
    """HxW, 0..1: how much each pixel belongs to what stands out; about .7 s of one CPU."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    # As its authors scale: by the brightest value, then as ImageNet.
    small /= max(1.0, float(small.max()))
    small = (small - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    blob = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)
    with _lock:  # A network of OpenCV holds its input.
        network = _network()
        network.setInput(blob)
        # The first of seven outputs is the fused one.
        fused = network.forward(network.getUnconnectedOutLayersNames()[0])
    low, high = float(fused.min()), float(fused.max())
    found = (fused[0, 0] - low) / max(1e-6, high - low)
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR))
