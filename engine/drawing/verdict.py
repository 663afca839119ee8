"""Is everything that a prompt names in the picture? Asked of the network that drew it.

The finished latents are noised again, and one more forward pass records where each learned token is
attended to. A thing that is there has cells of its own; a missing one's attention lies on the cells
of the others. It costs no other weights, and two forward passes' time per noise level.

Shape legend: K tokens, Q query positions of the attention grid, C latent channels, H and W latent
size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.drawing.sampler import condition, whole_pictures
from engine.families.contract import Conditioning, Family
from engine.method.attention_maps import average_maps

NOISED = (0.4, 0.6)
"""Shares of the noise levels at which the picture is looked at."""
LOOKS = 2
"""Noises at each level."""
SEED = 20230516
"""The judge's own: it neither depends on the picture's seed nor changes anything."""


def exclusivity(maps_KQ: torch.Tensor) -> torch.Tensor:
    """How much each token's attention has to itself, 0..1; (K,).

    `sum_q A_i (A_i / sum_j A_j) / sum_q A_i`: 1 for maps without a common cell, 1 / K for K equal
    maps, less for a token that is weaker than the others wherever it is attended to.
    """
    tiny = torch.finfo(maps_KQ.dtype).tiny
    share_KQ = maps_KQ / maps_KQ.sum(0).clamp_min(tiny)
    return (maps_KQ * share_KQ).sum(1) / maps_KQ.sum(1).clamp_min(tiny)


def judge(
    family: Family, latents_1CHW: torch.Tensor, prompt: str, tokens: Sequence[str], *, side: int
) -> tuple[float, ...]:
    """The exclusivity of each token in a picture that `prompt` drew; the prompt holds them all.

    `side` is the picture's in pixels. Raises UserError where the family records no attention.
    """
    rows = len(NOISED) * LOOKS
    generator = torch.Generator().manual_seed(SEED)
    noise_BCHW = torch.randn((rows, *latents_1CHW.shape[1:]), generator=generator)
    levels_B = torch.tensor(
        [int(share * family.noise.train_levels) for share in NOISED for _ in range(LOOKS)]
    ).to(family.device)
    grid = family.maps.default_grid(side)
    ids_1EL = family.text.tokenize([prompt])
    columns_1K = family.text.columns(ids_1EL, family.text.token_ids(tokens)[None])
    with torch.inference_mode():
        clean_BCHW = latents_1CHW.expand(rows, -1, -1, -1)
        noised_BCHW = family.noise.add(clean_BCHW, noise_BCHW.to(family.device), levels_B)
        conditioning = Conditioning.join([condition(family, [prompt])] * rows)
        layers = family.maps.layers(side, grid)
        with family.maps.recorder(layers, plain_attention=False) as recorder:
            with recorder.capture(columns_1K.expand(rows, -1).to(family.device)) as recorded:
                family.predict(
                    noised_BCHW, levels_B, conditioning, whole_pictures(side, rows, family.device)
                )
            maps_KQ = average_maps(recorded).mean(0)
    return tuple(exclusivity(maps_KQ.float().cpu()).tolist())
