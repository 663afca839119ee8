"""Single files in the original layout give bit for bit what their diffusers folder gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from engine.core.errors import UserError
from engine.drawing.sampler import condition, whole_pictures
from engine.families.file_configs import CONFIGS
from engine.families.loading import load_family
from engine.families.single_file import END, OPEN_CLIP_PAD, clip_tokenizer
from engine.families.stable_diffusion import StableDiffusion, load_folder
from engine.models.resolve import resolve
from engine.runs.events import Event, Notice
from tests.families.ldm_layout import write_ldm_file

CPU = torch.device("cpu")
PUBLISHED_PARAMETERS = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
}
"""UNet, VAE, text encoder of Stable Diffusion 1.5 and 2.1."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))


def single_file(pipeline: Path, folder: Path, version: int, **options: object) -> Path:
    """A single file of the pipeline's weights with its configuration beside it."""
    path = folder / "model.safetensors"
    write_ldm_file(pipeline, path, version=version, **options)  # pyright: ignore[reportArgumentType]
    shutil.copytree(pipeline, folder / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    return path


def load(path: Path) -> StableDiffusion:
    family = load_family(str(path), device=CPU, report=lambda _: None).family
    assert isinstance(family, StableDiffusion)
    return family


@pytest.mark.parametrize("version", [1, 2])
def test_predictions_equal_those_of_the_folder(
    tiny_pipeline: Path, tmp_path: Path, version: int, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = load_folder(tiny_pipeline, device=CPU)
    capfd.readouterr()
    file = load(single_file(tiny_pipeline, tmp_path, version))
    assert capfd.readouterr() == ("", "")
    prompt = "a photo of a cat and the teapot at the beach"
    assert torch.equal(*(f.text.tokenize([prompt]) for f in (folder, file)))
    whole = whole_pictures(64, 1, CPU)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    with torch.no_grad():
        states = [condition(f, [prompt]) for f in (folder, file)]
        outputs = [f.predict(noise, torch.tensor([500]), states[0], whole) for f in (folder, file)]
    assert torch.equal(states[0].states_BLD, states[1].states_BLD)
    assert torch.equal(*outputs)
    posteriors = [f.codec.encode(picture) for f in (folder, file)]
    assert torch.equal(posteriors[0].mean, posteriors[1].mean)
    assert torch.equal(posteriors[0].std, posteriors[1].std)
    assert (folder.codec.decode(noise) == file.codec.decode(noise)).all()
    assert file.resolution == folder.resolution
    assert file.noise.prediction == folder.noise.prediction


def test_half_precision_is_loaded_as_fp32(tiny_pipeline: Path, tmp_path: Path) -> None:
    family = load(single_file(tiny_pipeline, tmp_path, 1, dtype=torch.float16))
    models = (family.unet, family.codec.vae, family.text.encoder)
    assert {p.dtype for model in models for p in model.parameters()} == {torch.float32}


def test_the_configuration_beside_the_file_decides(tiny_pipeline: Path, tmp_path: Path) -> None:
    path = single_file(tiny_pipeline, tmp_path, 2)
    config = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    values = json.loads(config.read_text()) | {"prediction_type": "v_prediction"}
    config.write_text(json.dumps(values))
    assert load(path).noise.prediction == "v_prediction"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "tensor", ["model.diffusion_model.out.2.weight", "first_stage_model.decoder.conv_out.weight"]
)
def test_a_missing_tensor(tiny_pipeline: Path, tmp_path: Path, version: int, tensor: str) -> None:
    path = single_file(tiny_pipeline, tmp_path, version, without=tensor)
    with pytest.raises(UserError, match="lacks tensors"):
        load(path)


@pytest.mark.parametrize("version", [1, 2])
def test_a_missing_text_tensor(tiny_pipeline: Path, tmp_path: Path, version: int) -> None:
    name = {
        1: "cond_stage_model.transformer.text_model.final_layer_norm.weight",
        2: "cond_stage_model.model.ln_final.weight",
    }[version]
    path = single_file(tiny_pipeline, tmp_path, version, without=name)
    with pytest.raises(UserError, match="lacks tensors"):
        load(path)


def test_other_shapes_ask_for_a_configuration(tiny_pipeline: Path, tmp_path: Path) -> None:
    path = write_ldm_file(tiny_pipeline, tmp_path / "small.safetensors")
    with pytest.raises(UserError, match="does not load as Stable Diffusion 1") as caught:
        load(path)
    assert "small/" in caught.value.remedy and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_the_bundled_configurations_have_the_published_sizes(name: str) -> None:
    folder = CONFIGS / name
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(
            json.loads((folder / "unet/config.json").read_text())
        )
        vae = AutoencoderKL.from_config(json.loads((folder / "vae/config.json").read_text()))
        text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
    counts = [sum(p.numel() for p in m.parameters()) for m in (unet, vae, text_encoder)]
    assert tuple(counts) == PUBLISHED_PARAMETERS[name]


@pytest.mark.parametrize(
    ("prompt", "ids"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("dog on a beach", [1929, 525, 320, 2117]),
        ("a photo of a waterfall", [320, 1125, 539, 320, 16403]),
        ("it's a cat's toy, running   fast", [585, 568, 320, 2368, 568, 5988, 267, 2761, 1953]),
        ("sunset over mountains", [3424, 962, 5873]),
    ],
)
def test_the_bundled_tokenizer_is_clips(prompt: str, ids: list[int]) -> None:
    for pad, pad_id in ((END, 49407), (OPEN_CLIP_PAD, 0)):
        tokenizer = clip_tokenizer(pad)
        assert tokenizer(prompt).input_ids == [49406, *ids, 49407]
        assert tokenizer.pad_token_id == pad_id
        assert len(tokenizer) == 49408


@pytest.mark.parametrize(("version", "warned"), [(1, False), (2, True)])
def test_a_guessed_prediction_type_is_said(
    tiny_pipeline: Path, tmp_path: Path, version: int, warned: bool
) -> None:
    path = write_ldm_file(tiny_pipeline, tmp_path / "small.safetensors", version=version)
    events: list[Event] = []
    resolve(str(path), events.append)
    warnings = [e for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert [("epsilon" in e.message, "base.prediction=v" in e.remedy) for e in warnings] == [
        (True, True)
    ] * warned
