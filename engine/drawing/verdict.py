"""Is everything that a prompt names in the picture? Asked of the network that drew it.

The finished latents are noised again, and the network says what the noise was: once told the whole
prompt, once for each thing told the prompt without it. Where a thing is in the picture, not to be
told of it makes the network's error larger; where it is missing, it does not (a diffusion model as
classifier: Li et al. 2023, arXiv 2303.16203). The noise is the same for all, so that only
the words make the difference.

Shape legend: K things, B noise levels, C latent channels, H and W latent size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from engine.drawing.sampler import condition, whole_pictures
from engine.families.contract import Family

NOISED = (0.3, 0.5, 0.7, 0.85)
"""Shares of the noise levels at which the picture is looked at."""
SEED = 20230516
"""The judge's own: it neither depends on the picture's seed nor changes anything."""


def presence(
    family: Family, latents_1CHW: torch.Tensor, prompt: str, without: Sequence[str], *, side: int
) -> tuple[float, ...]:
    """How much larger the error is without each thing, as a share of the error with all; K numbers.

    Around 0 and below for a thing that is missing. K + 1 passes of `len(NOISED)` rows.

    Args:
        prompt: what drew the picture, as the text encoders read it.
        without: the same prompt without each of its K things (`Grammar.without`).
        side: the picture's, in pixels.
    """
    rows = len(NOISED)
    generator = torch.Generator().manual_seed(SEED)
    noise_BCHW = torch.randn((rows, *latents_1CHW.shape[1:]), generator=generator)
    noise_BCHW = noise_BCHW.to(family.device)
    levels_B = torch.tensor([int(share * family.noise.train_levels) for share in NOISED])
    levels_B = levels_B.to(family.device)
    geometry_BG = whole_pictures(side, rows, family.device)
    with torch.inference_mode():
        clean_BCHW = latents_1CHW.expand(rows, -1, -1, -1)
        noised_BCHW = family.noise.add(clean_BCHW, noise_BCHW, levels_B)
        target_BCHW = family.noise.target(clean_BCHW, noise_BCHW, levels_B).float()

        def error(text: str) -> torch.Tensor:
            conditioning = condition(family, [text] * rows)
            said_BCHW = family.predict(noised_BCHW, levels_B, conditioning, geometry_BG)
            return (said_BCHW.float() - target_BCHW).square().mean((1, 2, 3))

        told_B = error(prompt)
        rises = [(error(text) / told_B - 1).mean() for text in without]
    return tuple(float(rise) for rise in rises)


def verdict(presences: Mapping[str, float], missing_below: float) -> str:
    """`2 of 2`, or what is missing: `1 of 2, bell missing`; of each thing's name and presence."""
    missing = [name for name, value in presences.items() if value < missing_below]
    count = f"{len(presences) - len(missing)} of {len(presences)}"
    return f"{count}, {' and '.join(missing)} missing" if missing else count
