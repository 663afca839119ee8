"""What `--base` may name, told without torch: every mistake is one line with its remedy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import UserError
from engine.models.detection import check_file
from engine.models.names import BASE_MODELS, check_base
from engine.models.weight_files import HALF, choose_weights

STEM = "diffusion_pytorch_model"
UNET = "unet/diffusion_pytorch_model.safetensors"
SD1 = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (8, 8),
    "cond_stage_model.transformer.text_model.final_layer_norm.weight": (8,),
}
SD2 = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (8, 8),
    "cond_stage_model.model.ln_final.weight": (8,),
}


XL = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.label_emb.0.0.weight": (8, 8),
    "first_stage_model.decoder.conv_in.weight": (8, 8),
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (8,),
    "conditioner.embedders.1.model.ln_final.weight": (8,),
}


def write_header(
    path: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None
) -> Path:
    """A safetensors file whose tensors have these shapes and hold zeros."""
    entries: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(end))
    return path


def refused(base: object) -> UserError:
    with pytest.raises(UserError) as caught:
        check_base(str(base))
    assert caught.value.message and caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def folder(tiny_pipeline: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pipeline to damage."""
    return Path(shutil.copytree(tiny_pipeline, tmp_path / "model"))


@pytest.mark.parametrize("name", BASE_MODELS)
def test_names(name: str) -> None:
    assert check_base(name) == ("name", name)


def test_a_hub_id() -> None:
    assert check_base("some-body/some.model") == ("hub", "some-body/some.model")


def test_a_folder_is_recorded_by_its_absolute_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert check_base("model") == ("folder", str(folder))
    assert check_base("./model/") == ("folder", str(folder))


@pytest.mark.parametrize(("shapes", "version"), [(SD1, 1), (SD2, 2)])
def test_a_single_file(tmp_path: Path, shapes: dict[str, tuple[int, ...]], version: int) -> None:
    path = write_header(tmp_path / "model.safetensors", shapes)
    assert check_base(str(path)) == ("file", str(path))
    told = check_file(path)
    assert told.kind.name == "stable-diffusion" and told.open_clip == (version == 2)
    assert (told.prediction, told.resolution) == ("", 0)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"modelspec.prediction_type": "v"}, ("v_prediction", 0)),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, ("v_prediction", 0)),
        (
            {"modelspec.prediction_type": "epsilon", "modelspec.resolution": "512x512"},
            ("epsilon", 512),
        ),
    ],
)
def test_what_a_single_file_says_of_itself(
    tmp_path: Path, metadata: dict[str, str], expected: tuple[str, int]
) -> None:
    path = write_header(tmp_path / "model.safetensors", SD2, metadata)
    told = check_file(path)
    assert told.open_clip and (told.prediction, told.resolution) == expected


def test_a_misspelt_name() -> None:
    assert "did you mean pocket?" in refused("pokcet").remedy


@pytest.mark.parametrize("base", ["./no", "/no/such/model", "~/no", "no.safetensors", "no.ckpt"])
def test_a_missing_path(base: str) -> None:
    error = refused(base)
    assert base in error.message and error.remedy == "check the path"


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_a_pickle_is_never_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    error = refused(path)
    assert "pickle" in error.message and "convert it to safetensors" in error.remedy


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG")
    assert "no model file" in refused(path).message


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert "model_index.json" in error.message and "unet/" in error.remedy


def test_a_folder_around_a_single_file(tmp_path: Path) -> None:
    path = write_header(tmp_path / "v1-5.safetensors", SD1)
    assert str(path) in refused(tmp_path).remedy


def test_a_folder_around_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "v1-5.ckpt").write_bytes(b"")
    assert "convert it to safetensors" in refused(tmp_path).remedy


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert f"has no {part}/" in refused(folder).message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_only(folder: Path, part: str) -> None:
    for path in (folder / part).glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    error = refused(folder)
    assert "pickled" in error.message and "safetensors" in error.remedy


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda f: (f / UNET).unlink(), "holds no weights"),
    "cut off": (lambda f: _truncate(f / UNET), "is cut off"),
    "empty": (lambda f: (f / UNET).write_bytes(b""), "no safetensors file"),
    "rubbish": (lambda f: (f / UNET).write_bytes(b"\xff" * 99), "no safetensors file"),
    "lfs pointer": (
        lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer",
    ),
    "shard missing": (
        lambda f: (f / UNET).rename(
            f / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors"
        ),
        "lacks some of its weights' files",
    ),
    "no config": (lambda f: (f / "vae" / "config.json").unlink(), "no readable config.json"),
    "damaged config": (
        lambda f: (f / "unet" / "config.json").write_text("{"),
        "no readable config.json",
    ),
    "no tokenizer": (
        lambda f: (f / "tokenizer" / "tokenizer.json").unlink(),
        "neither tokenizer.json nor",
    ),
    "damaged index": (lambda f: (f / "model_index.json").write_text("[]"), "model_index.json"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder(folder: Path, damage: str) -> None:
    harm, message = DAMAGES[damage]
    harm(folder)
    assert message in refused(folder).message


OTHERS = {
    "StableDiffusionXLImg2ImgPipeline": (
        {
            "unet": ["diffusers", "UNet2DConditionModel"],
            "text_encoder": [None, None],
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        },
        "is the refiner of Stable Diffusion XL",
    ),
    "StableUnCLIPImg2ImgPipeline": ({"unet": ["diffusers", ""]}, "is an unCLIP model"),
    "StableDiffusionInpaintPipeline": ({"unet": ["diffusers", ""]}, "is an inpainting model"),
    "LatentConsistencyModelPipeline": ({"unet": ["diffusers", ""]}, "few-step"),
    "FluxPipeline": (
        {"transformer": ["diffusers", ""], "text_encoder_2": ["transformers", ""]},
        "FLUX",
    ),
    "StableDiffusion3Pipeline": (
        {"transformer": ["diffusers", ""], "text_encoder_2": ["transformers", ""]},
        "Stable Diffusion 3",
    ),
    "PixArtSigmaPipeline": ({"transformer": ["diffusers", ""]}, "PixArtSigmaPipeline"),
}


@pytest.mark.parametrize("pipeline", OTHERS)
def test_a_folder_of_another_kind(tmp_path: Path, pipeline: str) -> None:
    parts, kind = OTHERS[pipeline]
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline} | parts))
    error = refused(tmp_path)
    assert kind in error.message
    refiner = "refiner" in kind
    assert ("only Stable Diffusion 1.x or 2.x and" in error.message) != refiner


def test_an_inpainting_folder(folder: Path) -> None:
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 9}))
    assert "inpainting" in refused(folder).message


def test_a_folder_with_more_latent_channels(folder: Path) -> None:
    for part, key in (("unet", "in_channels"), ("vae", "latent_channels")):
        config = folder / part / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {key: 8}))
    assert check_base(str(folder)).kind == "folder"


FILES: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "sdxl without its second encoder": (
        {name: shape for name, shape in XL.items() if ".embedders.1." not in name},
        "holds no second text encoder",
    ),
    "sdxl refiner": (
        {name: shape for name, shape in XL.items() if "conditioner" not in name}
        | {"conditioner.embedders.0.model.ln_final.weight": (2,)},
        "is the refiner of Stable Diffusion XL",
    ),
    "sdxl unet": (
        {"model.diffusion_model.label_emb.0.0.weight": (2,)},
        "Stable Diffusion XL without its text encoders",
    ),
    "playground": (XL | {"edm_mean": (4,)}, "Playground"),
    "z-image": (
        {
            "model.diffusion_model.layers.0.attention.to_q.weight": (2,),
            "text_encoders.qwen3.model.norm.weight": (2,),
            "vae.decoder.conv_in.weight": (2,),
        },
        "is a transformer model; only Stable Diffusion",
    ),
    "rubbish": ({"something.weight": (2,)}, "is no Stable Diffusion model; only"),
    "flux": ({"double_blocks.0.img_attn.qkv.weight": (2,)}, "FLUX model; only"),
    "flux with prefix": (
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (2,)},
        "FLUX model; only",
    ),
    "sd3": (
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (2,)},
        "Stable Diffusion 3 model; only",
    ),
    "lora": ({"lora_unet_down_blocks_0.lora_up.weight": (2,)}, "is a LoRA"),
    "unet alone": ({"down_blocks.0.resnets.0.conv1.weight": (2,)}, "a UNet and no whole model"),
    "no vae": (
        {name: shape for name, shape in SD1.items() if "first_stage" not in name},
        "holds no VAE",
    ),
    "no text encoder": (
        {name: shape for name, shape in SD1.items() if "cond_stage" not in name},
        "holds no text encoder",
    ),
    "inpainting": (
        SD1 | {"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)},
        "inpainting",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_single_file_of_another_kind(tmp_path: Path, kind: str) -> None:
    shapes, message = FILES[kind]
    assert message in refused(write_header(tmp_path / "model.safetensors", shapes)).message


def test_a_single_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write_header(tmp_path / "model.safetensors", SD1)
    _truncate(path)
    assert "is cut off" in refused(path).message


def test_weights_are_chosen_in_order() -> None:
    whole, half = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"
    shards = [f"diffusion_pytorch_model-0000{k}-of-00002.safetensors" for k in (2, 1)]
    index = "diffusion_pytorch_model.safetensors.index.json"
    assert choose_weights({whole, half, *shards, index}, STEM) == ((whole,), "", "")
    assert choose_weights({half, *shards, index}, STEM) == (tuple(sorted(shards)), index, "")
    assert choose_weights({half, *shards}, STEM) == ((half,), "", "fp16")
    assert choose_weights({whole, half}, STEM, HALF) == ((half,), "", "fp16")
    assert choose_weights({"diffusion_pytorch_model.bin"}, STEM) is None
    old = [f"diffusion_pytorch_model-0000{k}-of-00002.fp16.safetensors" for k in (1, 2)]
    new = [f"diffusion_pytorch_model.fp16-0000{k}-of-00002.safetensors" for k in (1, 2)]
    half_index = "diffusion_pytorch_model.safetensors.index.fp16.json"
    for names in (old, new):
        assert choose_weights({*names, half_index}, STEM) == (tuple(names), half_index, "fp16")
        assert choose_weights({names[0], half_index}, STEM) is None


def test_it_needs_no_torch() -> None:
    script = (
        "import sys; from engine.models.names import check_base; check_base('pocket');"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'safetensors')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
