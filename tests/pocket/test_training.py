import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from engine.pocket import MODEL_DIR
from engine.pocket.recipe import (
    base_model,
    base_training,
    checkpoint,
    composer,
    distributed,
    export,
    latent_scale,
    latents,
    optim,
    restore,
    vae_training,
)

ALONE = distributed.Team(0, 1)


def run(trainer, scenes, steps):
    losses = []
    for _ in range(steps):
        rng = np.random.default_rng([trainer.config.seed, trainer.step, 0])
        batch = base_training.draw(scenes, trainer.empty_ids, 1.0, trainer.config, rng)
        losses.append(trainer.train_step(batch, ALONE)[1])
    return torch.stack(losses)


def test_resumed_training_is_bitwise_the_same(tmp_path, scenes, config, shape, words):
    whole = base_training.Trainer(config, shape, words, 1.0)
    expected = run(whole, scenes, 4)[2:]
    first = base_training.Trainer(config, shape, words, 1.0)
    run(first, scenes, 2)
    first.save(tmp_path / "state")
    second = base_training.Trainer(config, shape, words, 1.0)
    second.resume(tmp_path / "state")
    assert torch.equal(run(second, scenes, 2), expected)
    for a, b in zip(whole.weights, second.weights, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.average.values, second.average.values, strict=True):
        assert torch.equal(a, b)


def test_training_lowers_the_loss(scenes, config, shape, words):
    trainer = base_training.Trainer(config, shape, words, 1.0)
    losses = run(trainer, scenes, 16).mean(1)
    assert losses[-4:].mean() < 0.8 * losses[:4].mean()


def test_a_finished_decay_is_final_until_a_new_one_is_asked_for(
    tmp_path, scenes, config, shape, words
):
    def train(decay_steps):
        trainer = base_training.Trainer(config, shape, words, 1.0)
        assert base_training.train(trainer, scenes, tmp_path, ALONE, 1.0, decay_steps)
        return trainer.step, trainer.decay_from

    assert train(2) == (2, 0)
    assert train(0) == (2, 0)
    assert train(3) == (5, 2)


def test_attention_loss_is_the_naive_one():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 256, 5, generator=generator)
    masks = torch.rand(2, 3, 16, 16, generator=generator)
    positions = torch.tensor([[1, 4, 0], [2, 0, 0]])
    found = base_training.attention_loss(maps, masks, positions)
    for row in range(2):
        for slot in range(3):
            at = int(positions[row, slot])
            own = maps[row, :, at] / maps[row, :, at].max()
            naive = ((own - masks[row, slot].flatten()) ** 2).mean() if at else torch.zeros(())
            torch.testing.assert_close(found[row, slot], naive)


def test_schedule_warms_up_stays_flat_and_decays():
    def rate(step, decay_from):
        return optim.schedule(step, rate=1.0, warmup=10, decay_from=decay_from, decay_steps=100)

    assert rate(0, -1) == pytest.approx(0.1)
    assert rate(500, -1) == 1.0
    assert rate(500, 500) == 1.0
    assert rate(600, 500) == pytest.approx(0.02)


def test_checkpoints_are_small_files_and_survive_an_interrupted_replacement(tmp_path):
    folder = tmp_path / "state"
    big = {f"w{i}": torch.full((2**20,), float(i)) for i in range(9)}
    checkpoint.save(folder, big, {"step": 1})
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert len(sizes) == 3 and max(sizes) <= 16 * 2**20
    folder.rename(folder.with_name("state.old"))
    tensors, facts = checkpoint.load(folder)
    assert facts == {"step": 1} and tensors.keys() == big.keys()
    assert torch.equal(tensors["w7"], big["w7"])


@pytest.fixture()
def tiny_vae():
    torch.manual_seed(0)
    settings = vae_training.VaeConfig(channels=(8, 8, 8, 8), latent_channels=4)
    return vae_training.build(settings).eval()


def test_scaling_the_latents_leaves_the_autoencoder_the_same_function(tiny_vae):
    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        before = tiny_vae.decode(tiny_vae.encode(images).latent_dist.mode()).sample
        latent_scale.rescale(tiny_vae, images)
        made = tiny_vae.encode(images).latent_dist.mode()
        after = tiny_vae.decode(made).sample
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    assert made.shape == (4, 4, 16, 16)
    assert made.std().item() == pytest.approx(1, abs=0.05)
    metric = latent_scale.pullback_metric(tiny_vae, images)
    torch.testing.assert_close(metric, torch.eye(4), rtol=0, atol=0.15)


def test_exported_folder_loads_as_a_pipeline(tmp_path, shape, words, tiny_vae):
    torch.manual_seed(0)
    text = base_model.build_text_encoder(shape, len(words), words.bos_token_id, words.eos_token_id)
    unet = base_model.build_unet(shape)
    parts = (unet, text, words, tiny_vae, base_model.build_scheduler())
    export.export(export.pipeline(*parts), tmp_path, 1200)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert pipe.text_encoder.dtype == pipe.unet.dtype == torch.float32
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    made = pipe("a photo of a dog", num_inference_steps=2, generator=generator).images[0]
    assert made.size == (128, 128)
    for path in tmp_path.rglob("*.json"):
        assert "_name_or_path" not in json.loads(path.read_text())


def test_an_exported_model_can_be_trained_further(tmp_path, scenes, config, shape, words, tiny_vae):
    trained = base_training.Trainer(config, shape, words, 1.0)
    run(trained, scenes, 3)
    trained.average.swap()
    parts = (trained.unet, trained.text, words, tiny_vae, base_model.build_scheduler())
    export.export(export.pipeline(*parts), tmp_path / "model", 1200)
    restore.restore(tmp_path / "model", tmp_path, base_training.Trainer(config, shape, words, 1.0))
    again = base_training.Trainer(config, shape, words, 1.0)
    again.resume(tmp_path / "base" / "state")
    assert (again.step, again.seen) == (0, 1200)
    for a, b in zip(again.weights, trained.weights, strict=True):
        # The export keeps half precision.
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    restored, fresh = (
        run(each, scenes, 1).mean()
        for each in (again, base_training.Trainer(config, shape, words, 1.0))
    )
    assert restored < fresh
    assert vae_training.load(tmp_path / "vae-final").config["latent_channels"] == 4


def test_shipped_files_are_small():
    files = [path for path in MODEL_DIR.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) <= 16 * 2**20
    assert sum(path.stat().st_size for path in files) <= 62e6


def test_shards_of_latents_are_written_once_and_read_back(
    tmp_path, monkeypatch, sprites, words, tiny_vae
):
    monkeypatch.setattr(latents, "SHARD", 4)
    maker = composer.Composer(sprites, variants=1)
    latents.make(tmp_path, range(2), maker, words, tiny_vae, composer.Mixture())
    first = (tmp_path / "00000.safetensors").read_bytes()
    (tmp_path / "00000.safetensors").unlink()
    latents.make(tmp_path, range(2), maker, words, tiny_vae, composer.Mixture())
    assert (tmp_path / "00000.safetensors").read_bytes() == first
    assert latents.available(tmp_path) == 2
    scenes = latents.load(tmp_path, 2)
    assert scenes.latents.shape == (8, 4, 16, 16)
    assert (scenes.positions[:, 0] > 0).all()


def test_resumed_autoencoder_training_is_bitwise_the_same(tmp_path, sprites):
    maker = composer.Composer(sprites, variants=1)
    heldout = torch.zeros(1, 3, 128, 128)

    def train(folder, steps):
        config = vae_training.VaeConfig(
            channels=(8, 8, 8, 8), latent_channels=2, steps=steps, decay_share=0.0, batch=1
        )
        assert vae_training.train(maker, heldout, folder, config, ALONE, minutes=5)
        return checkpoint.load(folder / "state")[0]

    train(tmp_path / "pieces", 2)
    pieces, whole = train(tmp_path / "pieces", 4), train(tmp_path / "whole", 4)
    assert pieces.keys() == whole.keys()
    assert all(torch.equal(pieces[name], whole[name]) for name in whole)
