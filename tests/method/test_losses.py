"""The losses against naive loops written from the paper."""

from __future__ import annotations

import math

import pytest
import torch

from engine.method.attention_maps import average_maps, score_maps, to_uint8
from engine.method.losses import (
    attention_loss,
    balanced_weights,
    competing_attention_loss,
    diffusion_loss,
    expected_union_area,
    masked_diffusion_loss,
    weights_of,
)
from engine.method.noise import add_noise, velocity
from engine.method.union_sampling import sample_subset


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_masked_loss_is_the_mean_over_all_positions(generator: torch.Generator) -> None:
    predicted = torch.randn(2, 4, 5, 6, generator=generator)
    target = torch.randn(2, 4, 5, 6, generator=generator)
    mask = (torch.rand(2, 1, 5, 6, generator=generator) > 0.5).float()
    loss = masked_diffusion_loss(predicted, target, mask)
    divided = masked_diffusion_loss(predicted, target, mask, divide_by_area=True)
    for b in range(2):
        total, inside = 0.0, 0.0
        for y in range(5):
            for x in range(6):
                if mask[b, 0, y, x]:
                    inside += 1
                    for c in range(4):
                        total += float(predicted[b, c, y, x] - target[b, c, y, x]) ** 2
        assert float(loss[b]) == pytest.approx(total / (4 * 5 * 6), rel=1e-5)
        assert float(divided[b]) == pytest.approx(total / (4 * inside), rel=1e-5)


def test_masked_loss_ignores_what_is_outside(generator: torch.Generator) -> None:
    predicted = torch.randn(1, 4, 4, 4, generator=generator, requires_grad=True)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    masked_diffusion_loss(predicted, torch.zeros(1, 4, 4, 4), mask).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad[..., 2:].abs().max() == 0
    assert predicted.grad[..., :2].abs().min() > 0


def test_a_full_mask_gives_the_plain_loss(generator: torch.Generator) -> None:
    predicted = torch.randn(3, 4, 4, 4, generator=generator)
    target = torch.randn(3, 4, 4, 4, generator=generator)
    full = torch.ones(3, 1, 4, 4)
    plain = diffusion_loss(predicted, target)
    torch.testing.assert_close(masked_diffusion_loss(predicted, target, full), plain)
    areas = masked_diffusion_loss(predicted, target, full, divide_by_area=True)
    torch.testing.assert_close(areas, plain)


def test_attention_loss_sums_over_concepts(generator: torch.Generator) -> None:
    maps = torch.rand(2, 3, 16, generator=generator)
    masks = (torch.rand(2, 3, 16, generator=generator) > 0.5).float()
    valid = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    loss = attention_loss(maps, masks, valid)
    for b, count in ((0, 2), (1, 1)):
        total = 0.0
        for k in range(count):
            peak = max(float(value) for value in maps[b, k])
            errors = [(float(maps[b, k, q]) / peak - float(masks[b, k, q])) ** 2 for q in range(16)]
            total += sum(errors) / 16
        assert float(loss[b]) == pytest.approx(total, rel=1e-5)


def test_an_empty_slot_gives_no_gradient() -> None:
    maps = torch.zeros(1, 2, 4, requires_grad=True)
    loss = attention_loss(maps + torch.tensor([[[1.0], [0.0]]]), torch.zeros(1, 2, 4),
                          torch.tensor([[1.0, 0.0]]))  # fmt: skip
    loss.sum().backward()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()
    assert maps.grad[0, 1].abs().max() == 0


def test_maps_weigh_every_head_alike(generator: torch.Generator) -> None:
    two, four = torch.rand(1, 2, 9, 3, generator=generator), torch.rand(1, 4, 9, 3)
    expected = torch.zeros(1, 3, 9)
    for k in range(3):
        for q in range(9):
            heads = [float(two[0, h, q, k]) for h in range(2)]
            heads += [float(four[0, h, q, k]) for h in range(4)]
            expected[0, k, q] = sum(heads) / 6
    torch.testing.assert_close(average_maps([two, four]), expected)


def test_scores_of_a_map() -> None:
    maps = torch.tensor([[1.0, 0.6, 0.4, 0.0]])
    scores = score_maps(maps, torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    assert float(scores.iou) == pytest.approx(1 / 3)
    assert float(scores.leak) == pytest.approx(0.3)
    assert to_uint8(maps).tolist() == [[255, 153, 102, 0]]


def test_noise_and_velocity_are_a_rotation(generator: torch.Generator) -> None:
    latents, noise = torch.randn(2, 4, 3, 3, generator=generator), torch.randn(2, 4, 3, 3)
    alphas, steps = torch.linspace(0.99, 0.01, 10), torch.tensor([2, 7])
    noised, target = (
        add_noise(latents, noise, steps, alphas),
        velocity(latents, noise, steps, alphas),
    )
    signal = alphas[steps].sqrt().view(-1, 1, 1, 1)
    spread = (1 - alphas[steps]).sqrt().view(-1, 1, 1, 1)
    torch.testing.assert_close(signal * noised - spread * target, latents)
    torch.testing.assert_close(spread * noised + signal * target, noise)


def three_masks(generator: torch.Generator) -> torch.Tensor:
    """A large, a small and an overlapping mask, in double precision."""
    masks = torch.zeros(3, 6, 6, dtype=torch.float64)
    masks[0, :4], masks[1, 5, :2], masks[2, 3:5, 2:] = 1, 1, 1
    return masks * (0.5 + torch.rand(3, 1, 1, generator=generator, dtype=torch.float64) / 2)


def test_balanced_concepts_weigh_the_same(generator: torch.Generator) -> None:
    """Against the formula, also for soft and overlapping masks."""
    masks, area = three_masks(generator), 0.3
    errors = torch.rand(6, 6, generator=generator, dtype=torch.float64)
    means = [float((mask * errors).sum() / mask.sum()) for mask in masks]
    weighted = (balanced_weights(masks, area) * errors).mean()
    assert float(weighted) == pytest.approx(area * sum(means) / 3, rel=1e-12)
    # A concept's gradient is the same however many cells it has.
    per_concept = [(balanced_weights(masks, area) * (mask > 0)).mean() for mask in masks]
    assert max(map(float, per_concept)) < 2 * min(map(float, per_concept))


def test_roots_of_weights_in_the_masked_loss_are_the_weighted_mean(
    generator: torch.Generator,
) -> None:
    masks = three_masks(generator)
    predicted, target = torch.randn(2, 1, 4, 6, 6, generator=generator, dtype=torch.float64)
    for weights in (balanced_weights(masks, 0.4), weights_of(masks)):
        loss = masked_diffusion_loss(predicted, target, weights.sqrt()[None])
        expected = (weights * (predicted - target) ** 2).mean()
        torch.testing.assert_close(loss[0], expected)
        divided = masked_diffusion_loss(
            predicted, target, weights.sqrt()[None], divide_by_area=True
        )
        torch.testing.assert_close(divided[0], expected / weights.mean())


def test_a_balanced_single_concept_is_the_masked_loss_at_the_usual_size(
    generator: torch.Generator,
) -> None:
    masks = three_masks(generator)[:1].ceil()
    area = expected_union_area(masks)
    assert area == pytest.approx(float(masks.mean()))
    torch.testing.assert_close(balanced_weights(masks, area), weights_of(masks))


@pytest.mark.parametrize("union", [True, False])
def test_the_expected_union_is_what_sampling_gives(generator: torch.Generator, union: bool) -> None:
    masks = (three_masks(generator) > 0).double()
    drawn = [sample_subset(range(3), generator, union=union) for _ in range(4000)]
    mean = sum(float(masks[list(subset)].amax(0).mean()) for subset in drawn) / len(drawn)
    assert expected_union_area(masks, union=union) == pytest.approx(mean, abs=0.01)


def test_competing_attention_is_a_cross_entropy_of_shares(generator: torch.Generator) -> None:
    maps = torch.rand(2, 3, 9, generator=generator, dtype=torch.float64) + 0.01
    rest = torch.rand(2, 9, generator=generator, dtype=torch.float64) + 0.01
    masks = (torch.rand(2, 3, 9, generator=generator) > 0.5).double()
    valid = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    loss = competing_attention_loss(maps, rest, masks, valid)
    for b, count in ((0, 2), (1, 3)):
        total = 0.0
        for k in range(count):
            for q in range(9):
                everyone = sum(float(maps[b, j, q]) for j in range(count)) + float(rest[b, q])
                share = float(maps[b, k, q]) / everyone
                total -= math.log(share if masks[b, k, q] else 1 - share) / 9
        assert float(loss[b]) == pytest.approx(total, rel=1e-12)


def test_competing_attention_sees_mass_and_rivals() -> None:
    """What dividing by a map's own maximum cannot see."""
    mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]])
    valid = torch.ones(1, 2)

    def loss(strength: float, rival: float) -> float:
        own = mask * strength
        own = own + torch.tensor([[[0.0] * 4, [rival, rival, 0.0, 0.0]]])
        return float(competing_attention_loss(own, torch.full((1, 4), 0.1), mask, valid))

    assert loss(0.5, 0.0) < loss(0.05, 0.0)
    assert loss(0.5, 0.0) < loss(0.5, 0.5)
    empty = torch.zeros(1, 2, 4, requires_grad=True)
    competing_attention_loss(empty, torch.zeros(1, 4), mask, valid).sum().backward()
    assert empty.grad is not None and torch.isfinite(empty.grad).all()
