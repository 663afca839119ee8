"""Placeholder rows, the recorder and the exact savings, against straightforward computations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine.core.errors import UserError
from engine.core.method_config import OptimizerConfig
from engine.drawing.sampler import whole_pictures
from engine.families.contract import Conditioning, Geometry
from engine.families.recorder import Recorder
from engine.families.stable_diffusion import StableDiffusion
from engine.families.tokens import (
    add_placeholders,
    encode_prompts,
    initial_rows,
    input_rows,
    token_columns,
    word_pieces,
)
from engine.method.union_sampling import sample_subset
from engine.scenes.scene import Scene
from engine.training.batches import Prompts, draw_batch
from engine.training.phases import make_optimizer, row_parameters, select_parameters
from engine.training.pictures import (
    Picture,
    TrainingPictures,
    cropped_pictures,
    cutout_pictures,
    encode_picture,
    stream,
)
from engine.training.step import TrainingStep

Load = Callable[[], StableDiffusion]


def test_a_row_starts_as_the_mean_of_all_pieces(fresh_family: Load) -> None:
    """The released script takes the first piece alone."""
    family = fresh_family()
    pieces = word_pieces(family.text.tokenizer, "xylophone")
    assert len(pieces) > 1
    rows = initial_rows(
        family.text.tokenizer, family.text.encoder, ["xylophone", ""], stream(0, "rows")
    )
    matrix = input_rows(family.text.encoder)
    torch.testing.assert_close(rows[0], matrix[pieces].mean(0))
    again = initial_rows(family.text.tokenizer, family.text.encoder, ["", ""], stream(0, "rows"))
    assert not torch.equal(again[0], again[1])


def test_placeholders_are_one_token_each(fresh_family: Load) -> None:
    family = fresh_family()
    before = family.text.tokenizer("a photo of cat and dog").input_ids
    rows = torch.randn(2, 32)
    tokens = add_placeholders(family.text.tokenizer, family.text.encoder, rows, [1, 2])
    assert tokens == ("<asset0>", "<asset1>")
    ids = encode_prompts(family.text.tokenizer, ["a photo of <asset1> and <asset0>"])
    placed = torch.tensor([family.text.tokenizer.convert_tokens_to_ids(list(tokens))])
    columns = token_columns(ids, placed)
    assert columns.tolist() == [[6, 4]]
    embedded = family.text.encoder.get_input_embeddings()(ids)
    torch.testing.assert_close(embedded[0, 4], rows[1])
    torch.testing.assert_close(embedded[0, 6], rows[0])
    assert family.text.tokenizer("a photo of cat and dog").input_ids == before
    with pytest.raises(UserError):
        add_placeholders(family.text.tokenizer, family.text.encoder, rows, [])


def test_training_the_rows_equals_training_the_matrix(fresh_family: Load) -> None:
    """AdamW over the whole matrix, other rows restored, is the same thing, decay included."""
    rows_family, matrix_family = fresh_family(), fresh_family()
    rows = torch.randn(2, 32) * 0.1
    add_placeholders(rows_family.text.tokenizer, rows_family.text.encoder, rows)
    first = len(matrix_family.text.tokenizer)
    ids = encode_prompts(rows_family.text.tokenizer, ["a <asset0> and <asset1>", "<asset1>"])
    matrix = torch.nn.Embedding.from_pretrained(
        torch.cat([input_rows(matrix_family.text.encoder).detach()[:first], rows]), freeze=False
    )
    original = matrix.weight.detach().clone()
    matrix_family.text.encoder.set_input_embeddings(matrix)
    mine = row_parameters(rows_family, words=False)
    select_parameters(rows_family, mine)
    config = OptimizerConfig(weight_decay=0.1)
    small = make_optimizer(mine, 1e-2, config)
    large = make_optimizer(dict(matrix.named_parameters()), 1e-2, config)
    for _ in range(4):
        for family, optimizer in ((rows_family, small), (matrix_family, large)):
            optimizer.zero_grad()
            (family.text.encode(ids[:, None]).states_BLD ** 2).sum().backward()
            optimizer.step()
        with torch.no_grad():
            matrix.weight[:first] = original[:first]
    trained = rows_family.text.embeddings()[0].placeholder_rows
    torch.testing.assert_close(trained.data, matrix.weight.data[first:], rtol=0, atol=1e-6)
    assert (trained.data - rows).abs().max() > 1e-3


def test_the_prior_has_no_gradient_on_the_rows(fresh_family: Load, scene: Scene) -> None:
    """So phase 1 may leave it out: the rows get the same gradient (up to batched arithmetic)."""
    gradients: list[torch.Tensor] = []
    for with_prior in (False, True):
        family = fresh_family()
        masks = np.stack([concept.mask for concept in scene.concepts])
        scene_pair = encode_picture(family, Picture(scene.image, masks, (0, 1)), 16)
        add_placeholders(family.text.tokenizer, family.text.encoder, torch.ones(2, 32) * 0.1)
        prompts = Prompts(family, "a photo of", ["<asset0>", "<asset1>"], prior="a photo")
        prior = family.codec.encode(np.full((1, 64, 64, 3), 128, np.uint8))
        generator = torch.Generator().manual_seed(0)
        batch, _ = draw_batch(
            TrainingPictures(scene_pair), prompts, family.noise, generator,
            size=1, crop=0, flip=0, union=True, prior=prior, prior_geometry=Geometry.whole(64),
        )  # fmt: skip
        rows = 1 if with_prior else 0
        if not with_prior:
            batch = type(batch)(*(tensor[1:] for tensor in batch))
        select_parameters(family, row_parameters(family, words=False))
        layers = family.maps.layers(64, 16)
        with family.maps.recorder(layers, plain_attention=True) as recorder:
            step = TrainingStep(
                family, recorder, masked=True, divide_by_area=False,
                attention_weight=0.01, prior_weight=1.0,
            )  # fmt: skip
            step(batch, rows).total.backward()
        grad = family.text.embeddings()[0].placeholder_rows.grad
        assert grad is not None
        gradients.append(grad.clone())
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("plain", [False, True])
def test_the_recorder_leaves_no_trace(fresh_family: Load, plain: bool) -> None:
    family = fresh_family()
    layers = family.maps.layers(64, 16)
    noised, states = torch.randn(2, 4, 16, 16), torch.randn(2, 24, 32)
    steps, columns = torch.tensor([3, 500]), torch.tensor([[4, 6], [5, 0]])
    given = noised, steps, Conditioning(states, {}), whole_pictures(64, 2, family.device)
    before = dict(family.unet.attn_processors)
    with torch.no_grad():
        expected = family.predict(*given)
        with Recorder(family.unet, layers, plain_attention=plain) as recorder:
            outside = family.predict(*given)
            with recorder.capture(columns) as recorded:
                inside = family.predict(*given)
    assert {name: type(p) for name, p in family.unet.attn_processors.items()} == {
        name: type(p) for name, p in before.items()
    }
    torch.testing.assert_close(outside, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(inside, expected, rtol=1e-4, atol=1e-5)
    assert len(recorded) == len(layers)
    assert {probs.shape[0::2] for probs in recorded} == {(2, 256)}
    assert all((probs >= 0).all() and (probs <= 1).all() for probs in recorded)


def test_union_sampling_draws_sizes_evenly_and_orders_freely() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [sample_subset((0, 1, 2), generator) for _ in range(6000)]
    sizes = Counter(len(subset) for subset in drawn)
    assert all(abs(sizes[k] / 6000 - 1 / 3) < 0.03 for k in (1, 2, 3))
    orders = Counter(subset for subset in drawn if len(subset) == 3)
    assert len(orders) == 6
    assert all(len(set(subset)) == len(subset) for subset in drawn)
    single = [sample_subset((0, 1, 2), generator, union=False) for _ in range(100)]
    assert {len(subset) for subset in single} == {1}


def test_crops_hold_what_they_say(scene: Scene) -> None:
    masks = np.stack([concept.mask for concept in scene.concepts])
    crops = list(cropped_pictures(scene.image, masks, 40, 0.5, stream(1, "crops")))
    assert len(crops) == 40
    for crop in crops:
        assert crop.image.shape == scene.image.shape
        assert crop.concepts
        for index in crop.concepts:
            inside = crop.masks[index]
            colours = crop.image[inside].astype(int)
            # Each thing has one colour; resampling blurs its rim alone.
            assert np.median(colours, axis=0) == pytest.approx(
                (220, 40, 40) if index == 0 else (40, 200, 60), abs=12
            )
            assert inside.sum() >= masks[index].sum() * 0.9


def test_cutouts_show_the_subset_alone(scene: Scene) -> None:
    masks = np.stack([concept.mask for concept in scene.concepts])
    pictures = list(cutout_pictures(scene.image, masks, 20, union=True, generator=stream(1, "c")))
    assert {len(picture.concepts) for picture in pictures} == {1, 2}
    for picture in pictures:
        seen = masks[list(picture.concepts)].any(0)
        assert np.array_equal(picture.image[seen], scene.image[seen])
        assert len(np.unique(picture.image[~seen].reshape(-1, 3), axis=0)) == 1
