"""A run on Stable Diffusion XL goes out in every form, and comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.families.loading import load_family
from engine.results.exports.exporter import ExportRequest, export_run
from engine.results.exports.importer import ImportRequest, import_source
from engine.results.exports.layouts import UnetShape
from engine.results.exports.learned import read_learned
from engine.results.exports.loaded import weights_of
from engine.results.exports.lora_names import kohya_name
from engine.results.learned_model import load_learned
from engine.runs.export_targets import TARGETS
from engine.runs.folder import RunDir
from tests.engine_fixtures import two_blocks
from tests.results.conftest import TINY, train_run
from tests.results.test_xl_files import draw, open_pipeline

CPU = torch.device("cpu")
ENDS = {"weight": ("w_norm",), "bias": ("b_norm", "diff_b")}
"""Of what lies beside a LoRA's factors."""
UNKNOWN = re.compile(r"norm|embeddings|text_projection")
"""What of a text encoder LoRA files have no name for."""


def nothing(_event: object) -> None:
    """What is said meanwhile is not looked at."""


@pytest.fixture(scope="module")
def xl_run(tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    home = tmp_path_factory.mktemp("xl-run")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BAS_HOME", str(home))
        settings = TINY | {"phase2.train": "all", "phase2.learning_rate": 1e-2}
        run = RunDir(home / "runs" / "kitchen")
        return train_run(run, str(tiny_sdxl), two_blocks(), settings, ["teapot", "zorbl"])


@pytest.fixture(scope="module")
def out(xl_run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("xl-out")
    request = ExportRequest(
        run=xl_run, targets=tuple(TARGETS), out=out, half=False, check=False, rank=128
    )
    export_run(request, nothing)
    return out


def test_the_pipeline_folder_draws_what_the_run_draws(xl_run: RunDir, out: Path) -> None:
    model = load_learned(xl_run, device=CPU, report=nothing)
    pipe = open_pipeline(out / "kitchen-diffusers" / "pipeline")
    family = model.family
    ids = family.text.tokenize(["a photo of <asset1> and <asset0>"])
    with torch.no_grad():
        own = family.text.encode(ids)
        states, _, pooled, _ = pipe.encode_prompt(
            "a photo of <zorbl> and <teapot>", device=CPU, do_classifier_free_guidance=False
        )
    assert torch.equal(own.states_BLD, states)
    assert torch.equal(own.extra["text_embeds"], pooled)
    there = {
        f"{part}.{name}": weight
        for part in ("unet", "text_encoder", "text_encoder_2")
        for name, weight in getattr(pipe, part).named_parameters()
    }
    for name, weight in weights_of(family).items():
        assert torch.equal(weight, there[name]), name
    assert np.isfinite(draw(pipe, "a photo of <teapot>").numpy()).all()


def test_lora_and_embeddings_carry_the_whole_change(
    xl_run: RunDir, out: Path, tiny_sdxl: Path
) -> None:
    """At full rank the LoRA and what lies beside it is the whole change of every layer and norm
    that programs know: not of the text encoders' norms and positions, nor of their projection."""
    lora = load_file(out / "kitchen-comfyui/models/loras/kitchen.safetensors")
    assert lora.keys() == load_file(out / "kitchen-a1111/models/Lora/kitchen.safetensors").keys()
    starts = {name.split("_")[1] for name in lora}
    assert starts == {"unet", "te1", "te2"}
    changes = load_file(xl_run.concepts / "changes.safetensors")
    shape = UnetShape.of(json.loads((tiny_sdxl / "unet" / "config.json").read_text()))
    found, left_out = set[str](), set[str]()
    for name, change in changes.items():
        wanted = change.float()
        module, _, leaf = name.rpartition(".")
        key = kohya_name(module, "sdxl", shape)
        if f"{key}.lora_up.weight" in lora and leaf == "weight":
            up, down = (lora[f"{key}.{part}.weight"].float() for part in ("lora_up", "lora_down"))
            assert lora[f"{key}.alpha"] == len(down), "at strength 1"
            got = (up.flatten(1) @ down.flatten(1)).reshape(wanted.shape)
            assert (got - wanted).norm() < 1e-2 * wanted.norm(), name
            found |= {f"{key}.{end}" for end in ("lora_up.weight", "lora_down.weight", "alpha")}
            continue
        places = {f"{key}.{end}" for end in ENDS[leaf]} & lora.keys()
        if not places:
            left_out.add(name)
            continue
        (place,) = places
        assert torch.equal(lora[place].float(), wanted), name
        found.add(place)
    assert found == lora.keys(), "the file holds nothing else"
    still = {name for name in left_out if not changes[name].any()}
    unknown = {
        name for name in left_out if name.startswith("text_encoder") and UNKNOWN.search(name)
    }
    assert left_out <= still | unknown
    rows = read_learned(xl_run).placeholder_rows
    for folder in ("kitchen-comfyui/models/embeddings", "kitchen-checkpoint/embeddings"):
        vectors = load_file(out / folder / "zorbl.safetensors")
        assert torch.equal(vectors["clip_l"], rows[0][1:])
        assert torch.equal(vectors["clip_g"], rows[1][1:])
    assert "StableDiffusionXLPipeline" in (out / "kitchen-diffusers/README.txt").read_text()


def test_the_checkpoint_is_an_xl_file_to_our_own_loader(
    xl_run: RunDir, out: Path, tiny_sdxl: Path, tmp_path: Path
) -> None:
    path = tmp_path / "whole.safetensors"
    path.symlink_to(out / "kitchen-checkpoint/kitchen.safetensors")
    (tmp_path / "whole").symlink_to(tiny_sdxl)  # Its size is nobody's: the configuration beside it.
    opened = load_family(str(path), device=CPU, report=nothing)
    assert opened.kind == "stable-diffusion-xl"
    wanted = weights_of(load_learned(xl_run, device=CPU, report=nothing).family)
    there = weights_of(opened.family)
    assert there.keys() == wanted.keys()
    assert all(torch.equal(there[name], weight) for name, weight in wanted.items())


def test_a_pack_that_was_cut_comes_back(
    xl_run: RunDir, out: Path, tiny_sdxl: Path, bas_home: Path
) -> None:
    pack = out / "kitchen-pack/kitchen.bas.safetensors"
    ended = import_source(ImportRequest(source=pack, name="again", base=str(tiny_sdxl)), nothing)
    run = RunDir(Path(ended.run))
    assert bas_home in run.path.parents
    wanted, got = (load_learned(a_run, device=CPU, report=nothing) for a_run in (xl_run, run))
    for own, theirs in zip(
        wanted.family.text.embeddings(), got.family.text.embeddings(), strict=True
    ):
        assert torch.equal(own.placeholder_rows, theirs.placeholder_rows)
    # Made with a rank, it is a LoRA without norms and biases, of every layer that moved.
    assert got.change is not None
    ids = wanted.family.text.tokenize(["a photo of <asset1> and <asset0>"])
    with torch.no_grad():
        whole, cut = (model.family.text.encode(ids).states_BLD for model in (wanted, got))
        got.change.strength = 0
        bare = got.family.text.encode(ids).states_BLD
    assert (whole - cut).norm() < 0.6 * (whole - bare).norm()
