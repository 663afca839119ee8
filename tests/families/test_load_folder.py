"""Loading of diffusers folders: shards, half precision, gaps, the hash and what is reported."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import UserError
from engine.drawing.sampler import condition, whole_pictures
from engine.families.loading import LoadedBase, load_family
from engine.families.stable_diffusion import StableDiffusion, load_folder
from engine.models import hashing
from engine.models.names import BASE_MODELS
from engine.runs.events import Event, Notice, Progress

CPU = torch.device("cpu")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tiny_pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pipeline to change."""
    return Path(shutil.copytree(tiny_pipeline, tmp_path / "model"))


def load(base: Path | str, report: Callable[[Event], None] = lambda _: None) -> LoadedBase:
    return load_family(str(base), device=CPU, report=report)


def family_of(base: Path | str) -> StableDiffusion:
    family = load(base).family
    assert isinstance(family, StableDiffusion)
    return family


def predict(family: StableDiffusion) -> torch.Tensor:
    """The UNet's output for fixed noise and the prompt `a photo of a cat`, (1, 4, 16, 16)."""
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = condition(family, ["a photo of a cat"])
        return family.predict(
            noise, torch.tensor([500]), states, whole_pictures(64, 1, family.device)
        )


def test_what_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    loaded = load(folder, events.append)
    notices = [event for event in events if isinstance(event, Notice)]
    assert len(notices) == 1 and notices[0].level == "info"
    assert str(folder) in notices[0].message and loaded.base_hash[:12] in notices[0].message
    assert {event.stage for event in events if isinstance(event, Progress)} == {"load"}
    assert loaded.source == str(folder)
    assert capfd.readouterr() == ("", "")


def test_the_embedded_model_in_shards() -> None:
    loaded = load("pocket")
    folder = BASE_MODELS["pocket"].folder
    assert folder is not None
    shards = sorted((folder / "unet").glob("*.safetensors"))
    assert loaded.base_hash == hashlib.sha256(b"".join(s.read_bytes() for s in shards)).hexdigest()
    assert (loaded.source, loaded.family.resolution) == ("pocket", 128)
    assert loaded.licence == BASE_MODELS["pocket"].licence
    family = loaded.family
    assert isinstance(family, StableDiffusion)
    models = (family.unet, family.codec.vae, family.text.encoder)
    assert {p.dtype for model in models for p in model.parameters()} == {torch.float32}


def test_shards_load_as_the_whole_does(tiny_pipeline: Path, folder: Path) -> None:
    whole = load_folder(tiny_pipeline, device=CPU)
    (folder / UNET).unlink()
    whole.unet.save_pretrained(folder / "unet", max_shard_size="300KB")
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 1
    assert torch.equal(predict(family_of(folder)), predict(whole))


@pytest.mark.parametrize("suffix", [".safetensors", ".fp16.safetensors"])
def test_half_precision_is_loaded_as_fp32(folder: Path, suffix: str) -> None:
    for path in sorted(folder.glob("*/*.safetensors")):
        half = {name: tensor.half() for name, tensor in load_file(path).items()}
        path.unlink()
        save_file(half, path.with_suffix(suffix), {"format": "pt"})
    family = family_of(folder)
    models = (family.unet, family.codec.vae, family.text.encoder)
    assert {p.dtype for model in models for p in model.parameters()} == {torch.float32}
    stored = load_file((folder / UNET).with_suffix(suffix))["conv_in.weight"]
    assert torch.equal(family.unet.conv_in.weight, stored.float())


def test_the_prediction_type_comes_from_the_scheduler(folder: Path) -> None:
    assert family_of(folder).noise.prediction == "epsilon"
    config = folder / "scheduler" / "scheduler_config.json"
    values = json.loads(config.read_text()) | {"prediction_type": "v_prediction"}
    config.write_text(json.dumps(values))
    assert family_of(folder).noise.prediction == "v_prediction"


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        (UNET, "conv_out.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.weight"),
        ("text_encoder/model.safetensors", "final_layer_norm.weight"),
    ],
)
def test_a_missing_tensor_is_no_random_one(folder: Path, file: str, tensor: str) -> None:
    weights = load_file(folder / file)
    (name,) = [name for name in weights if name.endswith(tensor)]
    del weights[name]
    save_file(weights, folder / file, {"format": "pt"})
    with pytest.raises(UserError, match="lacks tensors"):
        load(folder)


def test_weights_of_other_shapes(folder: Path) -> None:
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"cross_attention_dim": 48}))
    with pytest.raises(UserError, match="does not load") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_hash_is_summed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [folder / UNET]
    done: list[int] = []
    first = hashing.weights_sha256(files, lambda n, _: done.append(n))
    assert first == hashlib.sha256(files[0].read_bytes()).hexdigest() and done
    done.clear()
    assert hashing.weights_sha256(files, lambda n, _: done.append(n)) == first and not done
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    assert hashing.weights_sha256(files, lambda n, _: done.append(n)) != first and done

    monkeypatch.setenv("BAS_HOME", "/proc/nowhere")
    assert hashing.weights_sha256(files) == hashlib.sha256(data).hexdigest()
