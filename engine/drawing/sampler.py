"""The one sampling loop: previews, prior pictures, drawing, editing and placing all run it.

It yields every step and takes changed latents back, so that whoever iterates it may blend in a
photo (editing) or stop. Classifier-free guidance (arXiv 2207.12598), both sides in one batch.

Shape legend: B pictures, C latent channels, H and W latent size or picture size, G geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from engine.core.memory import is_out_of_memory
from engine.families.contract import Conditioning, Family, Geometry, Noise, Solver


class Step(NamedTuple):
    """One denoising step of a batch; `send` other latents of its shape to go on from them."""

    done: int
    """How many steps are done, 1..steps."""
    level: int | None
    """The noise level that the latents have now; None: they are clean."""
    latents_BCHW: torch.Tensor


class Beginning(NamedTuple):
    """A picture to begin with in place of noise (image to image, arXiv 2108.01073)."""

    latents_1CHW: torch.Tensor
    """Its clean latents."""
    share: float
    """Share of the noise levels that is added to it, above 0; 1: nothing is left to be seen."""
    held_HW: torch.Tensor | None = None
    """Only these cells are the picture's, and only while the noise is at that share or above, as
    the ground of Blended Latent Diffusion is (arXiv 2206.02779); the others begin as noise. None:
    all are the picture's, and the steps above the share are left out."""


class Denoised(NamedTuple):
    """One denoising step of one picture."""

    picture: int
    """Which picture of the request, from 0."""
    step: int
    """1..steps."""
    latents: torch.Tensor
    """(1, C, H, W)."""


class Cancelled(Exception):
    """Raised by an `on_step` callback to end a drawing early."""


AT_ONCE = 8
"""Pictures that are drawn side by side on a GPU, where a step of one is bound by its launches."""


def at_once(device: torch.device) -> int:
    """A `batch` for pictures whose last bits do not matter; on a CPU nothing is won."""
    return AT_ONCE if device.type == "cuda" else 1


OnStep = Callable[[Denoised], None]


def denoise(
    family: Family,
    solver: Solver,
    latents_BCHW: torch.Tensor,
    prompts: Conditioning,
    empty: Conditioning | None,
    *,
    guidance: float,
    geometry_BG: torch.Tensor,
    first: int = 0,
) -> Generator[Step, torch.Tensor | None, torch.Tensor]:
    """Denoise latents of the level of step `first`; returns the clean latents.

    `empty` is the unconditional side of guidance, None where guidance is off (1 or less).
    """
    both = prompts if empty is None else Conditioning.join((empty, prompts))
    geometry_BG = geometry_BG if empty is None else torch.cat([geometry_BG] * 2)
    for index in range(first, len(solver.levels)):
        noised_BCHW = solver.network_input(latents_BCHW, index)
        if empty is not None:
            noised_BCHW = torch.cat([noised_BCHW] * 2)
        levels_B = torch.full(
            (len(noised_BCHW),), solver.levels[index], dtype=torch.long, device=noised_BCHW.device
        )
        prediction_BCHW = family.predict(noised_BCHW, levels_B, both, geometry_BG).float()
        if empty is not None:
            without_BCHW, with_BCHW = prediction_BCHW.chunk(2)
            prediction_BCHW = without_BCHW + guidance * (with_BCHW - without_BCHW)
        latents_BCHW = solver.step(prediction_BCHW, index, latents_BCHW)
        changed = yield Step(index + 1, solver.level_after(index), latents_BCHW)
        if changed is not None:
            latents_BCHW = changed
    return latents_BCHW


def starting_noise(family: Family, seeds: Sequence[int], resolution: int) -> torch.Tensor:
    """Unit noise of each seed, drawn on the CPU: equal on every device; (B, C, H, W)."""
    side = family.codec.size(resolution)
    shape = (1, family.codec.channels, side, side)
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn).to(family.device)


def condition(family: Family, prompts: Sequence[str]) -> Conditioning:
    """What the prompts tell the network, each encoded once and by itself.

    So a prompt's states do not depend on its neighbours, to the last bit.
    """
    known = {
        prompt: family.text.encode(family.text.tokenize([prompt]).to(family.device))
        for prompt in dict.fromkeys(prompts)
    }
    return Conditioning.join([known[prompt] for prompt in prompts])


def whole_pictures(resolution: int, count: int, device: torch.device) -> torch.Tensor:
    """Geometry of `count` uncropped pictures of the given side; (B, G)."""
    return torch.tensor([Geometry.whole(resolution)] * count, dtype=torch.float32, device=device)


def draw(
    family: Family,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    negative: str = "",
    resolution: int | None = None,
    sampler: str = "ddim",
    on_step: OnStep | None = None,
    batch: int = 1,
    beginning: Beginning | None = None,
) -> Iterator[np.ndarray]:
    """Draw one picture per prompt and seed, uint8 (H, W, 3) each (paper, section 4: DDIM).

    With the `batch` of 1 a picture depends on its own prompt and seed alone. Larger batches are
    faster; a picture's neighbours then change its last bits, and nothing else. One that does not
    fit the memory is halved. Raises Cancelled when `on_step` does.
    """
    batches = draw_latents(
        family, prompts, seeds=seeds, steps=steps, guidance=guidance, negative=negative,
        resolution=resolution, sampler=sampler, on_step=on_step, batch=batch, beginning=beginning,
    )  # fmt: skip
    for latents_BCHW in batches:
        for latents_CHW in latents_BCHW:
            # One by one: in fp32 the decoder needs more memory than the steps before it.
            yield from family.codec.decode(latents_CHW[None])


def draw_latents(
    family: Family,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    negative: str = "",
    resolution: int | None = None,
    sampler: str = "ddim",
    on_step: OnStep | None = None,
    batch: int = 1,
    beginning: Beginning | None = None,
) -> Iterator[torch.Tensor]:
    """The same up to the decoder: clean latents, (B, C, H, W) a batch."""
    side = resolution or family.resolution
    wanted = list(zip(prompts, seeds, strict=True))
    first = 0
    while first < len(wanted):
        some = wanted[first : first + batch]
        latents_BCHW = None
        try:
            with torch.inference_mode():
                latents_BCHW = _draw_batch(
                    family,
                    some,
                    side,
                    steps,
                    guidance,
                    negative,
                    sampler,
                    on_step,
                    first,
                    beginning,
                )
        except (MemoryError, RuntimeError) as error:
            if len(some) == 1 or not is_out_of_memory(error):
                raise
        if latents_BCHW is None:
            # Not within the handler: its traceback holds on to what has to be freed.
            batch = len(some) // 2
            if family.device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        first += len(some)
        yield latents_BCHW


def first_step(noise: Noise, solver: Solver, share: float) -> int:
    """The first step whose level is within this share of all levels; the last one at most."""
    limit = share * noise.train_levels
    steps = range(len(solver.levels))
    return next((i for i in steps if solver.levels[i] < limit), len(steps) - 1)


def begin(
    family: Family, solver: Solver, beginning: Beginning | None, noise_BCHW: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """Latents to start from and the step that they have the level of."""
    if beginning is None:
        return solver.start(noise_BCHW), 0
    if beginning.held_HW is not None:
        started_BCHW = solver.start(noise_BCHW)
        return hold(family, beginning, noise_BCHW, started_BCHW, solver.levels[0]), 0
    first = first_step(family.noise, solver, beginning.share)
    levels_B = torch.full((len(noise_BCHW),), solver.levels[first], device=noise_BCHW.device)
    clean_BCHW = beginning.latents_1CHW.expand_as(noise_BCHW)
    return family.noise.add(clean_BCHW, noise_BCHW, levels_B), first


def hold(
    family: Family,
    beginning: Beginning | None,
    noise_BCHW: torch.Tensor,
    latents_BCHW: torch.Tensor,
    level: int | None,
) -> torch.Tensor:
    """The latents with the held cells as the noised picture has them at this level."""
    if beginning is None or beginning.held_HW is None or level is None:
        return latents_BCHW
    if level < beginning.share * family.noise.train_levels:
        return latents_BCHW
    levels_B = torch.full((len(noise_BCHW),), level, device=noise_BCHW.device)
    clean_BCHW = beginning.latents_1CHW.expand_as(noise_BCHW)
    picture_BCHW = family.noise.add(clean_BCHW, noise_BCHW, levels_B)
    # In the latents' own memory layout, which decides the last bits of what follows.
    held_BCHW = torch.where(beginning.held_HW, picture_BCHW, latents_BCHW)
    return torch.empty_like(latents_BCHW).copy_(held_BCHW)


def _draw_batch(
    family: Family,
    some: Sequence[tuple[str, int]],
    side: int,
    steps: int,
    guidance: float,
    negative: str,
    sampler: str,
    on_step: OnStep | None,
    first: int,
    beginning: Beginning | None,
) -> torch.Tensor:
    solver = family.noise.solver(sampler, steps)
    empty = family.text.unconditional(negative, len(some)) if guidance > 1 else None
    noise_BCHW = starting_noise(family, [seed for _, seed in some], side)
    latents_BCHW, start = begin(family, solver, beginning, noise_BCHW)
    work = denoise(
        family,
        solver,
        latents_BCHW,
        condition(family, [prompt for prompt, _ in some]),
        empty,
        guidance=guidance,
        geometry_BG=whole_pictures(side, len(some), family.device),
        first=start,
    )
    step = next(work)
    while True:
        latents_BCHW = hold(family, beginning, noise_BCHW, step.latents_BCHW, step.level)
        if on_step is not None:
            for row, latents_CHW in enumerate(latents_BCHW):
                on_step(Denoised(first + row, step.done, latents_CHW[None]))
        try:
            step = work.send(latents_BCHW)
        except StopIteration as end:
            return end.value
