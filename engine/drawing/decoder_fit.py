"""A decoder fitted to one photo, so that what was drawn into it meets what surrounds it.

An autoencoder does not give a photo back as it was, so that new pixels differ from the photo's
along the region's edge. Blended Latent Diffusion (arXiv 2206.02779, section 4.2, equation 2) keeps
the latents and trains the decoder's weights instead, for each picture anew: inside the region it
has to say what it said before, outside what the photo says.

The paper takes the whole of the outside, and weighs it 100 times. Here the outside is the photo
itself in the end, so that only a ring around the region need be right, and little weight is enough:
the thing inside changes a third as much (docs/applications has the figures).

Shape legend: C colours or latent channels, H and W latent size, S side of the square in pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch

from engine.families.contract import Codec
from engine.families.pixels import to_pictures, to_pixels

RATE = 1e-4
"""Adam's learning rate; that of the paper's script."""
OUTSIDE = 3.0
"""How much an error in the ring weighs against one inside (the paper's lambda)."""
RING = 1.5
"""Width in latent cells of what is looked at outside the region."""


def decode_fitted(
    codec: Codec,
    latents_1CHW: torch.Tensor,
    photo_SSC: npt.NDArray[np.uint8],
    mask_SS: npt.NDArray[np.bool_],
    *,
    steps: int,
    rate: float = RATE,
    on_step: Callable[[int], None],
) -> npt.NDArray[np.uint8]:
    """The picture of the latents, by a copy of the decoder that was fitted to the photo; (S, S, C).

    `on_step` is told every finished step, 1..steps; what it raises ends the work. The codec stays
    as it is. On a processor the same input gives the same bits.
    """
    decoder = codec.decoder()
    # Outside of inference mode, whose tensors no gradient may pass.
    with torch.inference_mode(False), torch.enable_grad():
        latents_1CHW = latents_1CHW.detach().clone()
        with torch.no_grad():
            drawn_1CSS = decoder(latents_1CHW)
        photo_1CSS = to_pixels(photo_SSC[None]).to(drawn_1CSS)
        cell = len(mask_SS) / latents_1CHW.shape[-1]
        inside_SS = torch.from_numpy(mask_SS).to(drawn_1CSS.device)
        aim_1CSS = torch.where(inside_SS, drawn_1CSS, photo_1CSS)
        weight_SS = torch.from_numpy(_weights(mask_SS, RING * cell)).to(drawn_1CSS)
        optimizer = torch.optim.Adam(decoder.parameters(), lr=rate)
        for step in range(1, steps + 1):
            optimizer.zero_grad(set_to_none=True)
            loss = (weight_SS * (decoder(latents_1CHW) - aim_1CSS) ** 2).mean()
            loss.backward()
            optimizer.step()
            on_step(step)
        with torch.no_grad():
            return to_pictures(decoder(latents_1CHW))[0]


def _weights(mask_SS: npt.NDArray[np.bool_], ring: float) -> npt.NDArray[np.float32]:
    """1 inside, OUTSIDE within `ring` pixels of it, 0 beyond."""
    distance_SS = cv2.distanceTransform((~mask_SS).astype(np.uint8), cv2.DIST_L2, 5)
    around_SS = np.where(distance_SS <= ring, OUTSIDE, 0)
    return np.where(mask_SS, 1, around_SS).astype(np.float32)
