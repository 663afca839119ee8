"""The losses against naive loops written from the paper."""

from __future__ import annotations

import pytest
import torch

from engine.method.attention_maps import average_maps, score_maps, to_uint8
from engine.method.losses import attention_loss, diffusion_loss, masked_diffusion_loss
from engine.method.noise import add_noise, velocity


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
