"""Local editing on every family: what must stay stays, what is asked for is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.errors import UserError
from engine.drawing.decoder_fit import decode_fitted
from engine.drawing.editing import Region, blend, edit_photo, encoded, progressive, steps_of
from engine.drawing.sampler import Beginning, Cancelled, Denoised, draw_latents, starting_noise
from engine.drawing.work_window import Pixels, pasted, soft_inside, work_window
from engine.families.contract import Family
from engine.families.loading import load_folder

STEPS = 4


@pytest.fixture(params=["tiny_pipeline", "tiny_sdxl", "toy_family"])
def family(request: pytest.FixtureRequest) -> Family:
    folder: Path = request.getfixturevalue(request.param)
    return load_folder(folder, device=torch.device("cpu"))


def a_photo(height: int, width: int) -> Pixels:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def a_mask(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def edited(family: Family, photo: Pixels, *regions: Region, seed: int = 1) -> Pixels:
    return edit_photo(family, photo, regions, seed=seed, steps=STEPS, guidance=3.0)


def test_what_is_outside_the_regions_stays(family: Family) -> None:
    photo = a_photo(150, 230)
    one = Region(a_mask(150, 230, 20, 10, 60, 50), "a cat")
    thin = Region(a_mask(150, 230, 100, 60, 101, 61), "a dog")
    wide = Region(a_mask(150, 230, 110, 0, 120, 230), "a bird")
    result = edited(family, photo, one, thin, wide)
    changed = (result != photo).any(axis=2)
    allowed = one.mask_HW | thin.mask_HW | wide.mask_HW
    assert result.shape == photo.shape
    assert not changed[~allowed].any()
    for region in (one, thin, wide):
        assert changed[region.mask_HW].any()
    # A seed repeats, another one differs; two regions at once are two edits in a row.
    assert (edited(family, photo, one) == edited(family, photo, one)).all()
    assert (edited(family, photo, one, seed=2) != edited(family, photo, one)).any()
    both, after = edited(family, photo, one, wide), edited(family, edited(family, photo, one), wide)
    assert (both == after).all()


def test_latents_outside_are_the_photos_and_a_full_mask_is_image_to_image(family: Family) -> None:
    side = family.resolution
    cells = family.codec.size(side)
    clean = encoded(family, a_photo(side, side))
    seen: list[int] = []

    def blended(mask: np.ndarray, start: float) -> torch.Tensor:
        seen.clear()
        with torch.inference_mode():
            return blend(
                family, clean, mask, "a cat", seed=5, steps=STEPS, guidance=3.0, negative="",
                side=side, sampler="ddim", start=start, on_step=lambda done: seen.append(done.step),
            )  # fmt: skip

    mask = np.zeros((cells, cells), bool)
    mask[1:3, 1:3] = True
    inside = torch.from_numpy(mask)
    result = blended(mask, 0.25)
    assert (result == clean)[..., ~inside].all()
    assert (result != clean)[..., inside].any()
    assert seen == [1, 2, 3]
    assert steps_of(family, "ddim", STEPS, 0.25) == 3
    assert (blended(~np.ones_like(mask), 0.5) == clean).all()
    (from_photo,) = draw_latents(
        family, ["a cat"], seeds=[5], steps=STEPS, guidance=3.0, beginning=Beginning(clean, 0.5)
    )
    assert (blended(np.ones_like(mask), 0.5) == from_photo).all()


def test_held_cells_are_the_pictures_while_there_is_much_noise(family: Family) -> None:
    side = family.resolution
    clean = encoded(family, a_photo(side, side))
    held = torch.zeros((family.codec.size(side),) * 2, dtype=torch.bool)
    seen: list[torch.Tensor] = []

    def drawn(beginning: Beginning | None) -> list[torch.Tensor]:
        seen.clear()
        (end,) = draw_latents(
            family, ["a cat"], seeds=[5], steps=STEPS, guidance=3.0, beginning=beginning,
            on_step=lambda done: seen.append(done.latents),
        )  # fmt: skip
        assert (seen[-1] == end).all()
        return list(seen)

    alone = drawn(None)
    nothing = drawn(Beginning(clean, 0.4, held))
    assert all((one == other).all() for one, other in zip(alone, nothing, strict=True))
    held[1:3, 1:3] = True
    steps = drawn(Beginning(clean, 0.4, held))
    solver, noise = family.noise.solver("ddim", STEPS), starting_noise(family, [5], side)
    high = [solver.level_after(index) for index in range(STEPS)]
    high = [level for level in high if level and level >= 0.4 * family.noise.train_levels]
    assert 0 < len(high) < STEPS - 1
    for level, latents in zip(high, steps, strict=False):
        picture = family.noise.add(clean, noise, torch.tensor([level]))
        assert (latents == picture)[..., held].all()
        assert (latents != picture)[..., ~held].any()
    # What follows is free, and the cells beside have seen what stands there.
    assert (steps[-1] != clean)[..., held].any()
    assert (steps[-1] != alone[-1])[..., ~held].any()


def test_a_decoder_is_fitted_and_the_models_own_is_not(family: Family) -> None:
    photo, region = a_photo(150, 230), Region(a_mask(150, 230, 20, 10, 90, 90), "a cat")
    before = family.codec.decoder().state_dict()
    told: list[int] = []

    def fitted(steps: int, stop: int = 0) -> Pixels:
        def on_step(_region: int, done: Denoised) -> None:
            told.append(done.step)
            if done.step == stop:
                raise Cancelled

        return edit_photo(
            family, photo, [region], seed=1, steps=STEPS, guidance=3.0, decoder_steps=steps,
            on_step=on_step,
        )  # fmt: skip

    result = fitted(2)
    assert told == [1, 2, 3, 4, 5] and steps_of(family, "ddim", STEPS, 0.25, 2) == 5
    assert (result == photo)[~region.mask_HW].all()
    assert (result != edited(family, photo, region))[region.mask_HW].any()
    assert (result == fitted(2)).all()
    with pytest.raises(Cancelled):
        fitted(2, stop=4)
    after = family.codec.decoder().state_dict()
    assert all(torch.equal(values, after[name]) for name, values in before.items())


def test_a_fitted_decoder_comes_nearer_to_the_photo(family: Family) -> None:
    side = family.resolution
    photo, inside = a_photo(side, side), a_mask(side, side, 8, 8, 40, 40)
    clean = encoded(family, photo)

    ring = a_mask(side, side, 7, 7, 41, 41) & ~inside

    def error(steps: int) -> float:
        drawn = decode_fitted(
            family.codec, clean, photo, inside, steps=steps, on_step=lambda _step: None
        )
        return float(np.abs(drawn.astype(float) - photo)[ring].mean())

    (plain,) = family.codec.decode(clean)
    assert error(0) == float(np.abs(plain.astype(float) - photo)[ring].mean()) > error(8)


def test_an_edit_is_cancelled_and_an_empty_region_refused(tiny_pipeline: Path) -> None:
    family = load_folder(tiny_pipeline, device=torch.device("cpu"))
    photo = a_photo(64, 64)

    def stop(region: int, done: Denoised) -> None:
        if (region, done.step) == (1, 2):
            raise Cancelled

    region = Region(a_mask(64, 64, 8, 8, 40, 40), "a cat")
    with pytest.raises(Cancelled):
        edit_photo(family, photo, [region] * 2, seed=1, steps=STEPS, guidance=1, on_step=stop)
    with pytest.raises(UserError, match="region 1 is empty"):
        edited(family, photo, Region(np.zeros((64, 64), bool), "a cat"))


@pytest.mark.parametrize(
    ("size", "box", "window"),
    [
        ((600, 900), (100, 100, 200, 200), (22, 22, 256)),
        ((600, 900), (0, 800, 300, 900), (0, 450, 450)),
        ((100, 90), (10, 10, 20, 20), (0, 0, 90)),
        # A panorama's strip is wider than the photo is high.
        ((100, 900), (40, 0, 60, 600), (-250, 0, 600)),
        ((1, 1), (0, 0, 1, 1), (0, 0, 1)),
    ],
)
def test_the_square_around_a_region(
    size: tuple[int, int], box: tuple[int, int, int, int], window: tuple[int, int, int]
) -> None:
    found = work_window(a_mask(*size, *box), 256)
    assert found == window
    photo = a_photo(*size)
    assert found.cut(photo).shape == (found.side, found.side, 3)
    whole = pasted(
        photo, np.ones(size, bool), found, np.asarray(found.cut(photo), np.uint8), ramp=8
    )
    assert (whole == photo).all()


def test_a_soft_edge_lies_inside_and_a_thin_part_is_wholly_new() -> None:
    mask = a_mask(60, 60, 10, 10, 60, 40)
    mask[4, 2:50] = True
    alpha = soft_inside(mask, 8)
    assert alpha[~mask].max() == 0
    assert alpha[mask].min() > 0
    assert alpha[30, 25] == 1
    assert alpha[4, 20] == 1
    # The picture's own border is no edge of the region.
    assert alpha[59, 25] == 1
    assert 0 < alpha[30, 11] < 0.5


def test_a_thin_mask_is_given_room_at_first() -> None:
    mask = a_mask(16, 16, 8, 8, 9, 9)
    sizes = [int(step.sum()) for step in progressive(mask, 8)]
    assert sizes == [49, 49, 25, 25, 9, 9, 1, 1]
    assert [int(step.sum()) for step in progressive(mask, 3)] == [25, 9, 1]
    large = a_mask(16, 16, 0, 0, 16, 8)
    assert all((step == large).all() for step in progressive(large, 3))
