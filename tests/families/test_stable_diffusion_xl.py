"""Stable Diffusion XL: what it is told, against diffusers' own pipeline and training semantics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine.drawing.sampler import condition, draw
from engine.families.contract import Geometry
from engine.families.file_configs import CONFIGS
from engine.families.loading import load_family, load_folder
from engine.families.stable_diffusion_xl import StableDiffusionXL
from engine.models.facts import base_facts
from engine.scenes.scene import Scene
from engine.training.batches import Batch, Prompts, draw_batch
from engine.training.phases import row_parameters, select_parameters
from engine.training.pictures import Picture, TrainingPictures, Window, encode_picture
from engine.training.step import TrainingStep
from tests.families.ldm_layout import write_ldm_file

CPU = torch.device("cpu")
PROMPTS = ["a photo of a cat at the beach", "the teapot"]


@pytest.fixture
def family(tiny_sdxl: Path) -> StableDiffusionXL:
    loaded = load_folder(tiny_sdxl, device=CPU)
    assert isinstance(loaded, StableDiffusionXL)
    return loaded


@pytest.fixture
def pipeline(tiny_sdxl: Path) -> StableDiffusionXLPipeline:
    built = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True)
    built.set_progress_bar_config(disable=True)
    return built


def learn_tokens(family: StableDiffusionXL) -> None:
    rows = family.text.initial_rows(["cat", ""], torch.Generator().manual_seed(1))
    family.text.add_tokens(rows, [1, 2])


def test_prompts_are_encoded_as_the_pipeline_does(
    family: StableDiffusionXL, pipeline: StableDiffusionXLPipeline
) -> None:
    with torch.no_grad():
        for prompt in PROMPTS:
            states, _, pooled, _ = pipeline.encode_prompt(
                prompt, device=CPU, do_classifier_free_guidance=False
            )
            mine = condition(family, [prompt])
            assert torch.equal(mine.states_BLD, states)
            assert torch.equal(mine.extra["text_embeds"], pooled)


def test_pictures_equal_the_pipelines(
    family: StableDiffusionXL, pipeline: StableDiffusionXLPipeline
) -> None:
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    for negative in ("", "a red bowl"):
        start = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
        latents: Any = pipeline(
            PROMPTS[0], negative_prompt=negative or None, latents=start, height=64, width=64,
            num_inference_steps=3, guidance_scale=4.0, output_type="latent",
        ).images  # fmt: skip
        expected = family.codec.decode(latents)[0]
        mine = next(draw(family, PROMPTS[:1], seeds=[3], steps=3, guidance=4.0, negative=negative))
        assert np.array_equal(mine, expected)


def test_pooling_takes_the_end_marker_and_not_the_last_token(family: StableDiffusionXL) -> None:
    learn_tokens(family)
    ids_BEL = family.text.tokenize(["a <asset0> and <asset1> in snow"])
    end = (ids_BEL[0, 1] == 593).nonzero()[0]
    encoder: Any = family.text.encoders[1]
    with torch.no_grad():
        hidden = encoder.text_model(ids_BEL[:, 1]).last_hidden_state
        expected = encoder.text_projection(hidden[:, end[0]])
        pooled = family.text.encode(ids_BEL).extra["text_embeds"]
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0)


def test_an_old_configuration_pools_there_too(tiny_sdxl: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sdxl, tmp_path / "old"))
    for part in ("text_encoder", "text_encoder_2"):
        file = folder / part / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 2}))
    old, new = (load_folder(path, device=CPU) for path in (folder, tiny_sdxl))
    for family in (old, new):
        learn_tokens(family)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        pooled = [condition(family, ["a <asset1>"]).extra["text_embeds"] for family in (old, new)]
    assert torch.equal(*pooled)


def test_a_single_file_equals_the_folder(tiny_sdxl: Path, tmp_path: Path) -> None:
    path = write_ldm_file(tiny_sdxl, tmp_path / "model.safetensors")
    shutil.copytree(tiny_sdxl, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    file = load_family(str(path), device=CPU, report=lambda _event: None)
    assert file.kind == "stable-diffusion-xl"
    folder = load_folder(tiny_sdxl, device=CPU)
    pictures = [
        next(draw(family, PROMPTS[:1], seeds=[1], steps=2, guidance=3.0))
        for family in (file.family, folder)
    ]
    assert np.array_equal(pictures[0], pictures[1])
    mine, theirs = (family.targets.weights() for family in (file.family, folder))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_step_equals_diffusers_training_semantics(
    family: StableDiffusionXL, pipeline: StableDiffusionXLPipeline, scene: Scene
) -> None:
    """The loss of a crop's row, written out from diffusers' SDXL training script."""
    masks = np.stack([concept.mask for concept in scene.concepts])
    window = Window(10, 20, 40)
    picture = Picture(scene.image, masks, (0, 1), whole=False, window=window)
    pictures = TrainingPictures(encode_picture(family, picture, 8, original=200))
    learn_tokens(family)
    prompts = Prompts(family, "a photo of", ["<asset0>", "<asset1>"])
    batch, (row,) = draw_batch(
        pictures, prompts, family.noise, torch.Generator().manual_seed(4), size=1, crop=0, flip=0.5,
        union=True,
    )  # fmt: skip
    select_parameters(family, row_parameters(family, words=False))
    step = TrainingStep(
        family, None, masked=True, divide_by_area=False, attention_weight=0, prior_weight=0
    )
    mine = step(batch)
    mine.total.backward()

    naive, rows = naive_loss(pipeline, family, batch, row.mirrored)
    torch.testing.assert_close(mine.total, naive, rtol=1e-6, atol=1e-8)
    naive.backward()
    for embedding, matrix in zip(family.text.embeddings(), rows, strict=True):
        gradient, expected = embedding.placeholder_rows.grad, matrix.grad
        assert gradient is not None and expected is not None and gradient.abs().max() > 0
        torch.testing.assert_close(gradient, expected[-2:], rtol=1e-5, atol=1e-9)


def naive_loss(
    pipeline: Any, family: StableDiffusionXL, batch: Batch, mirrored: bool
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss, and the input matrices of both encoders, enlarged as Textual Inversion does it."""
    matrices: list[torch.Tensor] = []
    for name, learned in zip(
        ("text_encoder", "text_encoder_2"), family.text.embeddings(), strict=True
    ):
        encoder = getattr(pipeline, name)
        vocabulary = encoder.get_input_embeddings().weight.detach()
        matrix = torch.nn.Embedding.from_pretrained(
            torch.cat([vocabulary, learned.placeholder_rows.detach()]), freeze=False
        )
        encoder.set_input_embeddings(matrix)
        matrices.append(matrix.weight)
    states, pooled = [], None
    ids_BEL = batch.input_ids_BEL
    for index, encoder in enumerate((pipeline.text_encoder, pipeline.text_encoder_2)):
        output = encoder(ids_BEL[:, index], output_hidden_states=True)
        pooled = output[0]
        states.append(output.hidden_states[-2])
    left = 64 - 20 - 40 if mirrored else 20
    scale = 64 / 40
    time_ids = torch.tensor([[200.0, 200.0, 10 * scale, left * scale, 64, 64]])
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    noised = scheduler.add_noise(batch.latents_BCHW, batch.noise_BCHW, batch.levels_B)  # pyright: ignore[reportArgumentType]
    predicted = pipeline.unet(
        noised, batch.levels_B, torch.cat(states, dim=-1),
        added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
    ).sample  # fmt: skip
    mask = batch.union_masks_B1HW
    return F.mse_loss(predicted * mask, batch.noise_BCHW * mask), matrices


def test_geometry_of_whole_pictures_and_crops() -> None:
    image, masks = np.zeros((64, 64, 3), np.uint8), np.ones((1, 64, 64), bool)
    whole = Picture(image, masks, (0,))
    assert whole.geometry(512, mirrored=True) == Geometry(512, 512, 0, 0, 64, 64)
    assert whole.geometry(0, mirrored=False) == Geometry.whole(64)
    crop = Picture(image, masks, (0,), window=Window(8, 0, 32))
    assert crop.geometry(128, mirrored=False) == Geometry(128, 128, 16, 0, 64, 64)
    assert crop.geometry(128, mirrored=True) == Geometry(128, 128, 16, 64, 64, 64)


def test_the_bundled_configuration_has_the_published_sizes() -> None:
    folder = CONFIGS / "sdxl"

    def table(part: str) -> dict[str, Any]:
        return json.loads((folder / part / "config.json").read_text())

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(table("unet"))
        models = (
            unet,
            AutoencoderKL.from_config(table("vae")),
            CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder")),
            CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder / "text_encoder_2")),
        )
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    assert counts == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]


def test_facts_before_loading(tiny_sdxl: Path) -> None:
    facts = base_facts(str(tiny_sdxl))
    assert facts.kind is not None and facts.kind.name == "stable-diffusion-xl"
    assert facts.shape.grids(64) == (4, 8)
    assert base_facts("sdxl").shape.grids(1024) == (32, 64)
