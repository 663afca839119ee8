"""The one rule from masks to grids, held against torch's own operators and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.scenes.mask_grid import falls_between, grid_cells, mask_grid, resize_mask


def soft_masks(side: int) -> np.ndarray:
    """Soft values; a row that sampling may miss; nothing; 0 and 1 only."""
    rng = np.random.default_rng(side)
    masks = rng.random((4, side, side))
    masks[1] = 0
    masks[1, side // 3 + 1] = rng.random(side) + 0.1
    masks[2] = 0
    masks[3] = masks[3] > 0.5
    return masks


@pytest.mark.parametrize("side", [13, 64, 100, 333, 512])
@pytest.mark.parametrize("grid", [5, 16, 64, 128])
def test_nearest_is_the_released_scripts_to_the_last_bit(side: int, grid: int) -> None:
    masks_NHW = torch.from_numpy(soft_masks(side)).float()
    nearest = F.interpolate(masks_NHW[:, None], size=(grid, grid), mode="nearest")[:, 0]
    touched = F.adaptive_max_pool2d(masks_NHW, (grid, grid))
    erased = (nearest.amax(dim=(1, 2)) == 0)[:, None, None]
    wanted = torch.where(erased, touched, nearest)
    found = mask_grid(soft_masks(side), grid)
    assert found.dtype == np.float32 and np.array_equal(found, wanted.numpy())
    assert np.array_equal(mask_grid(soft_masks(side), grid, rule="touch"), touched.numpy())
    grown = F.max_pool2d(wanted, 3, 1, 1)
    assert np.array_equal(mask_grid(soft_masks(side), grid, rule="grown"), grown.numpy())


def test_a_mask_of_one_row_keeps_the_cells_it_touches() -> None:
    mask = np.zeros((64, 64), bool)
    mask[17] = True
    assert falls_between(mask, 16)
    assert grid_cells(mask, 16) == 16 and mask_grid(mask[None], 16)[0, 4].all()
    assert grid_cells(mask, 16, rule="touch") == 16
    assert grid_cells(mask, 16, rule="grown") == 48
    assert mask_grid(mask[None], 16, rule="area")[0, 4] == pytest.approx(1 / 4)
    mask[16] = True
    assert not falls_between(mask, 16) and not falls_between(np.zeros((64, 64), bool), 16)


def test_area_gives_shares_of_cells_at_any_ratio() -> None:
    mask = np.zeros((10, 10))
    mask[:, :5] = 1
    (grid,) = mask_grid(mask[None], 4, rule="area")
    np.testing.assert_allclose(grid, np.tile([1, 1, 0, 0], (4, 1)), atol=1e-6)
    (grid,) = mask_grid(mask[None], 3, rule="area")
    np.testing.assert_allclose(grid, np.tile([1, 0.5, 0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(
        mask_grid(soft_masks(333), 16, rule="area").mean((1, 2)),
        soft_masks(333).mean((1, 2)),
        atol=1e-6,
    )


def test_a_thin_mask_survives_another_size() -> None:
    mask = np.zeros((64, 64), bool)
    mask[33] = True
    assert resize_mask(mask, (16, 16)).sum() == 16
    assert not resize_mask(np.zeros((64, 64), bool), (16, 16)).any()
