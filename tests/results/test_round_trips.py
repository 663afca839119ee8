"""What is exported draws, with diffusers alone, what the run draws; what is imported does too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from engine.core.settings import build_config
from engine.families.loading import load_family
from engine.families.quiet import quiet_libraries
from engine.models.headers import read_header
from engine.pocket import MODEL_DIR
from engine.results.concepts import load_concepts
from engine.results.exports.agreement import psnr
from engine.results.exports.exporter import ExportRequest, export_run
from engine.results.exports.importer import ImportRequest, import_source
from engine.results.exports.learned import read_learned
from engine.results.exports.loaded import draw_pictures
from engine.runs.description import describe
from engine.runs.events import Event
from engine.runs.exchange_events import AgreementMeasured, EnergyKept, ImportEnded
from engine.runs.folder import RunDir
from engine.runs.manifest import read_manifest

README_PROMPT = "a photo of a <asset0> and a <asset1> in snow"
PROMPTS = (README_PROMPT, "a photo of <asset1> in snow", "a photo of <asset0>")
CPU = torch.device("cpu")
Pictures = list[np.ndarray]


class Exported:
    """The demo run's exports, and what was said meanwhile."""

    def __init__(self, run: RunDir, folder: Path, events: list[Event]) -> None:
        self.run, self.folder, self.events = run, folder, events

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def exported(pocket_run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder, events = tmp_path_factory.mktemp("exported"), []
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("BAS_HOME", str(folder / "home"))
        request = ExportRequest(
            run=pocket_run, targets=("a1111", "diffusers", "pack"), out=folder, half=False,
            check=True, device="cpu", name="kitchen",
        )  # fmt: skip
        ended = export_run(request, events.append)
    assert ended.words == ("kitchen_cactus", "kitchen_rocket")
    return Exported(pocket_run, folder, events)


@pytest.fixture(scope="module")
def wanted(pocket_run: RunDir) -> Pictures:
    """What `bas gen` draws."""
    return drawn_by(pocket_run)


def drawn_by(run: RunDir) -> Pictures:
    manifest = read_manifest(run)
    loaded = load_family(manifest.base, device=CPU, report=lambda _event: None)
    load_concepts(run.concepts, loaded.family, base_hash=loaded.base_hash)
    config = build_config(manifest.settings)
    return list(draw_pictures(loaded.family, PROMPTS, range(len(PROMPTS)), config))


def drawn_by_diffusers(pipe: Any, first: int = 0) -> Iterator[np.ndarray]:
    pipe.set_progress_bar_config(disable=True)
    for seed, prompt in enumerate(PROMPTS[first:], first):
        generator = torch.Generator().manual_seed(seed)
        picture = pipe(prompt, num_inference_steps=6, guidance_scale=3.0, generator=generator)
        yield np.asarray(picture.images[0])


def open_pipeline(folder: Path) -> Any:
    with quiet_libraries():
        return StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)


def test_the_pipeline_folder_draws_the_same_to_the_last_bit(
    exported: Exported, wanted: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first picture by the program that the README has."""
    folder = exported.folder / "kitchen-diffusers" / "pipeline"
    pipe = open_pipeline(folder)
    for own, theirs in zip(wanted[1:], drawn_by_diffusers(pipe, 1), strict=True):
        assert np.array_equal(own, theirs)
    monkeypatch.chdir(folder.parent)
    program = (folder.parent / "README.txt").read_text().split("\n\n")[2]
    with quiet_libraries():
        exec(textwrap.dedent(program))
    assert np.array_equal(wanted[0], np.asarray(Image.open("picture.png")))
    Path("picture.png").unlink()
    tokenizer = pipe.tokenizer
    assert tokenizer("<cactus>").input_ids[1] == tokenizer("<asset0>").input_ids[1] + 2
    encode = pipe.text_encoder.get_input_embeddings().weight
    assert torch.equal(encode[-4], encode[-2]) and torch.equal(encode[-3], encode[-1])
    names = read_header(folder / "text_encoder" / "model.safetensors").shapes
    assert all(name.startswith("text_model.") for name in names)


def test_the_small_files_draw_the_same_things_on_the_base_model(
    exported: Exported, wanted: Pictures
) -> None:
    folder = exported.folder / "kitchen-diffusers"
    pipe = open_pipeline(MODEL_DIR)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    with quiet_libraries():
        for token, name in (("<asset0>", "kitchen_cactus"), ("<asset1>", "kitchen_rocket")):
            pipe.load_textual_inversion(str(folder / f"{name}.safetensors"), token=token)
        pipe.load_lora_weights(str(folder / "kitchen_lora.safetensors"))
        pipe.fuse_lora()
        pipe.unload_lora_weights()
    lora = [psnr(a, b) for a, b in zip(wanted, drawn_by_diffusers(pipe), strict=True)]
    assert np.mean(lora) >= 38 and min(lora) > 34
    weights = pipe.unet.state_dict()
    factors = load_file(folder / "kitchen_lora.safetensors")
    base = open_pipeline(MODEL_DIR).unet.state_dict()
    for name, before in base.items():
        down = factors.get(f"unet.{name.removesuffix('.weight')}.lora_A.weight")
        if down is None:
            assert torch.equal(weights[name], before), name
        else:
            up = factors[f"unet.{name.removesuffix('.weight')}.lora_B.weight"]
            change = (up.flatten(1).float() @ down.flatten(1).float()).reshape(before.shape)
            torch.testing.assert_close(weights[name], before + change, rtol=0, atol=1e-7)
    # As the README says: norms and biases besides.
    for name, change in load_file(folder / "kitchen_rest.safetensors").items():
        pipe.unet.get_parameter(name).data += change
    with_rest = [psnr(a, b) for a, b in zip(wanted, drawn_by_diffusers(pipe), strict=True)]
    assert np.mean(with_rest) > np.mean(lora) + 2


def test_the_words_alone_draw_other_things(exported: Exported, wanted: Pictures) -> None:
    """Or the agreement above would say nothing."""
    loaded = load_family("pocket", device=CPU, report=lambda _event: None)
    loaded.family.text.add_tokens(read_learned(exported.run).placeholder_rows)
    config = build_config(read_manifest(exported.run).settings)
    pictures = draw_pictures(loaded.family, PROMPTS, range(len(PROMPTS)), config)
    assert np.mean([psnr(a, b) for a, b in zip(wanted, pictures, strict=True)]) < 25


def test_the_exporter_says_what_is_kept(exported: Exported) -> None:
    parts = {event.part: event for event in exported.of(EnergyKept)}
    assert parts.keys() == {
        "UNet linear layers", "UNet convolutions", "text encoder", "all layers"
    }  # fmt: skip
    everything = parts["all layers"]
    assert everything.ranks == (4, 8, 16, 32)
    assert list(everything.kept) == sorted(everything.kept) and everything.kept[-1] > 0.85
    assert sum(part.share for part in parts.values()) == pytest.approx(2 * everything.share)
    (agreement,) = exported.of(AgreementMeasured)
    assert len(agreement.psnr) == 4 and np.mean(agreement.psnr) > 38
    assert Path(agreement.sheet).parent == exported.folder and Path(agreement.sheet).is_file()


def test_a_pack_comes_back_as_a_run_that_draws_the_same(
    exported: Exported, wanted: Pictures
) -> None:
    pack = exported.folder / "kitchen-pack" / "kitchen.bas.safetensors"
    ended = import_source(ImportRequest(source=pack, name="again"), lambda _event: None)
    run = RunDir(Path(ended.run))
    info = describe(run)
    assert (info.state, info.step, info.base) == ("finished", 36, "pocket")
    assert [concept.name for concept in info.concepts] == ["cactus", "rocket"]
    for own, theirs in zip(wanted, drawn_by(run), strict=True):
        assert np.array_equal(own, theirs)


@pytest.mark.parametrize("base", ["", "pocket"])
def test_a_folder_with_tokens_becomes_a_run(
    exported: Exported, wanted: Pictures, base: str
) -> None:
    """As the authors' script leaves it; with a base model the difference is what was learned."""
    folder = exported.folder / "kitchen-diffusers" / "pipeline"
    request = ImportRequest(source=folder, name="theirs", base=base, concepts=("plant", "ship"))
    ended = import_source(request, lambda _event: None)
    assert isinstance(ended, ImportEnded)
    run = RunDir(Path(ended.run))
    manifest = read_manifest(run)
    assert [concept.name for concept in manifest.concepts] == ["plant", "ship"]
    settings = read_manifest(exported.run).settings
    config = build_config(settings)
    loaded = load_family(manifest.base, device=CPU, report=lambda _event: None)
    load_concepts(run.concepts, loaded.family, base_hash=loaded.base_hash)
    pictures = draw_pictures(loaded.family, PROMPTS, range(len(PROMPTS)), config)
    agreement = [psnr(a, b) for a, b in zip(wanted, pictures, strict=True)]
    # A difference is kept in half precision, a whole model as it is.
    assert min(agreement) == 100 if not base else min(agreement) > 45
    assert (run.path / "base").is_dir() == (not base)
