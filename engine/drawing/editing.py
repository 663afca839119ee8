"""Local editing: a learned thing drawn into a region of a photo.

Blended Latent Diffusion (arXiv 2206.02779; Break-A-Scene, application 4): at every step the latents
outside the region are replaced by the photo's own, noised to the level that the step has reached.
The scripts of the paper noise them to the level before it, which leaves grain in the background.

Shape legend: C latent channels, H and W latent size, S side of the mask in cells; photos are uint8
(height, width, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from engine.core.errors import UserError
from engine.drawing.decoder_fit import decode_fitted
from engine.drawing.sampler import (
    Beginning,
    Denoised,
    begin,
    condition,
    denoise,
    first_step,
    starting_noise,
    whole_pictures,
)
from engine.drawing.work_window import Pixels, pasted, scaled, work_window
from engine.families.contract import Family
from engine.scenes.mask_grid import mask_grid

GROWN = (7, 5, 3, 1)
"""Width in cells by which the mask is dilated, over equal parts of the steps: a thin region is
given room while the layout forms (Blended Latent Diffusion, section 4.3)."""
THIN = 0.25
"""A mask that covers more of the square than this is not dilated."""
RAMP = 1.5
"""Latent cells over which the new pixels fade in at the region's edge."""
FITTED_RAMP = 0.5
"""The same where the decoder was fitted to the photo and there is little left to hide."""
START = 0.25
"""Share of the steps that is skipped by default: what is there still shows through as light and
colour, and a new thing can be drawn."""


class Region(NamedTuple):
    """What to draw where."""

    mask_HW: npt.NDArray[np.bool_]
    """At the photo's size, true where the photo may change."""
    prompt: str
    """As the text encoders read it."""


OnEditStep = Callable[[int, Denoised], None]
"""Told the region's number and the step; `Denoised.step` counts 1..`steps_of(...)`."""


def steps_of(family: Family, sampler: str, steps: int, start: float, decoder_steps: int = 0) -> int:
    """How many steps an edit of one region takes: of denoising, then of fitting the decoder."""
    solver = family.noise.solver(sampler, steps)
    return len(solver.levels) - first_step(family.noise, solver, 1 - start) + decoder_steps


def edit_photo(
    family: Family,
    photo: Pixels,
    regions: Sequence[Region],
    *,
    seed: int,
    steps: int,
    guidance: float,
    negative: str = "",
    resolution: int | None = None,
    sampler: str = "ddim",
    start: float = START,
    decoder_steps: int = 0,
    on_step: OnEditStep | None = None,
) -> Pixels:
    """The photo with each region drawn anew, one after another; the same size.

    Pixels outside all regions stay as they are, to the last bit. `start` (0..1) is how much of what
    is there is kept: 0 draws from noise alone, .5 changes the thing that is there. `decoder_steps`:
    how long a copy of the decoder is fitted to the photo (`engine.drawing.decoder_fit`); 0 blends
    pixels alone. Raises UserError for an empty region.
    """
    side = resolution or family.resolution
    for number, (mask_HW, prompt) in enumerate(regions):
        if not mask_HW.any():
            raise UserError(f"region {number + 1} is empty", "paint it white on black")
        window = work_window(mask_HW, side)
        square = scaled(np.asarray(window.cut(photo), np.uint8), side)
        mask_SS = latent_mask(np.asarray(window.cut(mask_HW), bool), family.codec.size(side))

        def tell(done: Denoised, number: int = number) -> None:
            if on_step is not None:
                on_step(number, done)

        with torch.inference_mode():
            latents_1CHW = blend(
                family, encoded(family, square), mask_SS, prompt,
                seed=seed, steps=steps, guidance=guidance, negative=negative, side=side,
                sampler=sampler, start=start, on_step=tell,
            )  # fmt: skip
        ramp = (FITTED_RAMP if decoder_steps else RAMP) * window.side / len(mask_SS)
        if decoder_steps:
            before = steps_of(family, sampler, steps, start)
            inside = scaled(np.asarray(window.cut(mask_HW), np.uint8) * 255, side) > 127
            drawn = decode_fitted(
                family.codec, latents_1CHW, square, inside, steps=decoder_steps,
                on_step=lambda step, z=latents_1CHW, n=before, t=tell: t(Denoised(0, n + step, z)),
            )  # fmt: skip
        else:
            drawn = family.codec.decode(latents_1CHW)[0]
        photo = pasted(photo, mask_HW, window, scaled(drawn, window.side), ramp=ramp)
    return photo


def encoded(family: Family, square: Pixels) -> torch.Tensor:
    """The mean latents of a square picture; (1, C, H, W)."""
    return family.codec.encode(square[None]).mean.to(family.device)


def latent_mask(mask: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.bool_]:
    """Cells that the region fills by half; where it fills none, those that it touches; (S, S)."""
    half = mask_grid(mask[None], side, rule="area")[0] >= 0.5
    return half if half.any() else mask_grid(mask[None], side, rule="touch")[0] > 0


def blend(
    family: Family,
    clean_1CHW: torch.Tensor,
    mask_SS: npt.NDArray[np.bool_],
    prompt: str,
    *,
    seed: int,
    steps: int,
    guidance: float,
    negative: str,
    side: int,
    sampler: str,
    start: float,
    on_step: Callable[[Denoised], None],
) -> torch.Tensor:
    """Latents of the prompt inside the mask and `clean_1CHW` itself outside; (1, C, H, W)."""
    solver = family.noise.solver(sampler, steps)
    noise_1CHW = starting_noise(family, [seed], side)
    beginning = Beginning(clean_1CHW, 1 - start) if start > 0 else None
    latents_1CHW, first = begin(family, solver, beginning, noise_1CHW)
    # A stream of its own: the background's noise must not repeat the start's.
    generator = torch.Generator().manual_seed(seed ^ 0x5EED)
    total = len(solver.levels) - first
    masks = [
        torch.from_numpy(mask).to(family.device)[None, None] for mask in progressive(mask_SS, total)
    ]
    empty = family.text.unconditional(negative, 1) if guidance > 1 else None
    work = denoise(
        family,
        solver,
        latents_1CHW,
        condition(family, [prompt]),
        empty,
        guidance=guidance,
        geometry_BG=whole_pictures(side, 1, family.device),
        first=first,
    )
    step = next(work)
    while True:
        ground_1CHW = clean_1CHW
        if step.level is not None:
            fresh_1CHW = torch.randn(clean_1CHW.shape, generator=generator).to(family.device)
            level_1 = torch.tensor([step.level], device=family.device)
            ground_1CHW = family.noise.add(clean_1CHW, fresh_1CHW, level_1)
        index = step.done - first - 1
        latents_1CHW = torch.where(masks[index], step.latents_BCHW, ground_1CHW)
        on_step(Denoised(0, index + 1, latents_1CHW))
        try:
            step = work.send(latents_1CHW)
        except StopIteration:
            return latents_1CHW


def progressive(mask_SS: npt.NDArray[np.bool_], steps: int) -> list[npt.NDArray[np.bool_]]:
    """The mask of each step: dilated at first where it is small, itself in the last quarter."""
    if mask_SS.mean() > THIN:
        return [mask_SS] * steps
    grown = [
        cv2.dilate(mask_SS.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
        for width in GROWN
    ]
    # Counted from the end: the last step always has the mask itself.
    return [grown[-1 - (left * len(GROWN) // steps)] for left in reversed(range(steps))]
