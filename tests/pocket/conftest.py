"""Synthetic objects instead of the fetched pictures: no network in tests."""

import numpy as np
import pytest
import torch

from engine.pocket.recipe import base_model, base_training, latents, tokenizer
from engine.pocket.recipe.objects import SIZES

NAMES = ("dog", "polar bear", "bear", "kite")


def make_sprite(size: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A disc of one colour, uint8 (size, size, 4)."""
    ys, xs = np.mgrid[:size, :size]
    inside = (ys - size / 2 + 0.5) ** 2 + (xs - size / 2 + 0.5) ** 2 < (size / 2) ** 2
    sprite = np.zeros((size, size, 4), np.uint8)
    sprite[..., :3] = colour
    sprite[..., 3] = 255 * inside
    return sprite


@pytest.fixture(scope="session")
def sprites():
    colours = ((200, 30, 30), (240, 240, 240), (120, 70, 30), (30, 60, 220))
    return {
        name: {size: make_sprite(size, colour) for size in SIZES}
        for name, colour in zip(NAMES, colours, strict=True)
    }


@pytest.fixture(scope="session")
def words():
    return tokenizer.train(tokenizer.corpus(NAMES))


@pytest.fixture()
def shape():
    return base_model.BaseShape(
        latent_channels=4,
        widths=(32, 32, 32),
        heads=(1, 1, 1),
        text_width=32,
        text_layers=1,
        text_heads=2,
    )


@pytest.fixture()
def config():
    return base_training.BaseConfig(batch=2, warmup=1)


@pytest.fixture()
def scenes(words):
    generator = torch.Generator().manual_seed(0)
    ids, positions = tokenizer.last_tokens(words, "a photo of a dog and a kite", ["dog", "kite"])
    masks = torch.zeros(6, 3, 16, 16, dtype=torch.uint8)
    masks[:, 0, 2:8, 2:8] = 255
    masks[:, 1, 8:14, 8:14] = 255
    return latents.Scenes(
        1 + 0.1 * torch.randn(6, 4, 16, 16, generator=generator).half(),
        masks,
        torch.tensor(ids, dtype=torch.int16).expand(6, -1),
        torch.tensor([*positions, 0], dtype=torch.int16).expand(6, -1),
    )
