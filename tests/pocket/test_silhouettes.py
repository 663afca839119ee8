"""How well a drawn outline fits, on shapes whose fit is known."""

import math

import cv2
import numpy as np

from engine.pocket.recipe.silhouettes import THIN, best_fit, thin_parts


def pot(*, handle: bool = True, scale: float = 1.0, at: tuple[int, int] = (20, 30)) -> np.ndarray:
    """A disc with a thin bar at its side."""
    mask = np.zeros((80, 80), np.uint8)
    cv2.circle(mask, (30, 40), 16, 1, -1)
    if handle:
        mask[38:42, 46:62] = 1
    size = round(80 * scale)
    mask = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    page = np.zeros((200, 200), bool)
    page[at[0] : at[0] + size, at[1] : at[1] + size] = mask > 0
    return page


def test_only_what_is_narrow_is_thin() -> None:
    thin = thin_parts(pot())
    assert 0.7 * 16 * 4 < thin.sum() < 16 * 4 + 40
    assert thin[60, 90] and not thin[60, 60]
    assert not thin_parts(pot(handle=False)).sum() > 20
    assert THIN > 4


def test_the_same_shape_fits_anywhere_at_any_size() -> None:
    for scale in (0.6, 1.0, 1.5):
        fit = best_fit(pot(scale=scale, at=(40, 5)), pot())
        assert fit.iou > 0.9
        assert fit.thin > 0.9


def test_a_lost_handle_shows() -> None:
    fit = best_fit(pot(handle=False), pot())
    assert 0.85 < fit.iou < 0.96
    assert fit.thin < 0.25


def test_another_shape_does_not_fit() -> None:
    bar = np.zeros((200, 200), bool)
    bar[90:96, 20:180] = True
    assert best_fit(bar, pot()).iou < 0.4


def test_without_thin_parts_there_is_nothing_to_lose() -> None:
    block = np.zeros((60, 60), bool)
    block[10:50, 10:50] = True
    assert math.isnan(best_fit(block, block).thin)
