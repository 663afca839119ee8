"""Between pictures as files hold them and as networks read them.

Shape legend: B pictures, H and W their size in pixels, C colours.
"""

from __future__ import annotations

import numpy as np
import torch


def to_pixels(pictures_BHWC: np.ndarray) -> torch.Tensor:
    """uint8 pictures as -1..1, float (B, 3, H, W)."""
    pixels_BHWC = torch.from_numpy(np.array(pictures_BHWC, order="C")).float() / 127.5 - 1
    return pixels_BHWC.permute(0, 3, 1, 2)


def to_pictures(pixels_BCHW: torch.Tensor) -> np.ndarray:
    """uint8 pictures (B, H, W, 3) of -1..1, what lies beyond cut off."""
    pixels_BHWC = (pixels_BCHW.float().clamp(-1, 1) + 1).permute(0, 2, 3, 1) * 127.5
    return pixels_BHWC.round().to(torch.uint8).cpu().numpy()
