"""Changes as products of thin matrices."""

from __future__ import annotations

import pytest
import torch

from engine.results.exports.low_rank import (
    LowRank,
    energy_kept,
    factor,
    smallest_good_rank,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def low_rank(outputs: int, inputs: int, rank: int) -> torch.Tensor:
    return random(outputs, rank) @ random(rank, inputs, seed=1)


@pytest.mark.parametrize(
    "change",
    [low_rank(24, 40, 5), low_rank(300, 400, 5), low_rank(32, 45, 5).reshape(32, 5, 3, 3)],
    ids=["exact", "quick", "convolution"],
)
def test_a_change_of_that_rank_comes_back_whole(change: torch.Tensor) -> None:
    found = factor(change, 5)
    assert found.factors.down.shape == (5, *change.shape[1:])
    assert found.factors.up.shape == (len(change), 5, *[1] * (change.ndim - 2))
    assert found.factors.product().shape == change.shape
    torch.testing.assert_close(found.factors.product(), change, rtol=0, atol=1e-4)
    assert energy_kept([found], 5) == pytest.approx(1)


def test_the_energy_kept_is_what_the_product_keeps() -> None:
    change = random(200, 300)
    found = factor(change, 32)
    error = (change - found.factors.product()).double().square().sum()
    assert energy_kept([found], 32) == pytest.approx(float(1 - error / found.total), abs=1e-6)
    shares = [energy_kept([found], rank) for rank in (1, 4, 8, 32)]
    assert shares == sorted(shares) and shares[-1] < 1
    # The quick way loses little even where there is nothing low about the rank.
    exact = torch.linalg.svdvals(change.double())[:32].square().sum() / found.total
    assert 0 <= float(exact) - shares[-1] < 0.005
    small = found.factors.cut(8)
    kept = small.product().double().square().sum() / found.total
    assert float(kept) == pytest.approx(shares[2], rel=1e-4)


def test_half_precision_suits_both_factors() -> None:
    change = low_rank(64, 64, 8) * 1e-5
    half = LowRank(*(part.half() for part in factor(change, 8).factors))
    error = (half.product() - change).norm() / change.norm()
    assert error < 1e-3


def test_a_change_is_factored_the_same_whatever_was_drawn_before() -> None:
    change = random(300, 400)
    torch.manual_seed(1)
    first = factor(change, 4).factors
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    second = factor(change, 4).factors
    assert torch.equal(first.down, second.down) and torch.equal(first.up, second.up)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is left alone"


def test_the_smallest_good_rank() -> None:
    assert smallest_good_rank([factor(low_rank(64, 64, 20), 128)]) == 16
    assert smallest_good_rank([factor(low_rank(64, 64, 3), 128)]) == 8
    assert smallest_good_rank([factor(random(512, 512), 128)]) == 128
