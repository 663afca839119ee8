"""The exporter on tiny runs: what lies where, what is refused, LoRA runs, whole models."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.core.config import TrainConfig
from engine.core.errors import UserError
from engine.families.loading import load_family
from engine.files.pending import save_pending
from engine.files.weights_io import save_tensors
from engine.models.headers import read_header
from engine.results.concepts import load_concepts, load_rows
from engine.results.exports.base_facts import base_facts
from engine.results.exports.checkpoint import checkpoint_metadata, checkpoint_tensors
from engine.results.exports.exporter import ExportRequest, export_run
from engine.results.exports.learned import read_learned, weight_changes
from engine.results.exports.loaded import parts_of, weights_of
from engine.runs.events import Event, Notice
from engine.runs.folder import RunDir
from engine.runs.manifest import read_manifest, write_manifest
from tests.families.ldm_layout import write_ldm_file

CPU = torch.device("cpu")


def export(run: RunDir, out: Path, *targets: Any, **options: Any) -> list[Event]:
    events: list[Event] = []
    request = ExportRequest(run=run, targets=targets, out=out, check=False, **options)
    events.append(export_run(request, events.append))
    return events


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_program_finds_its_files(tiny_run: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "out"
    events = export(tiny_run, out, "a1111", "comfyui", "pack", "diffusers", small=True)
    assert files_in(out) == {
        "kitchen-a1111/README.txt",
        "kitchen-a1111/models/Lora/kitchen.safetensors",
        "kitchen-a1111/embeddings/kitchen_teapot.safetensors",
        "kitchen-a1111/embeddings/zorbl.safetensors",
        "kitchen-a1111/one-file/kitchen.safetensors",
        "kitchen-comfyui/README.txt",
        "kitchen-comfyui/models/loras/kitchen.safetensors",
        "kitchen-comfyui/models/embeddings/kitchen_teapot.safetensors",
        "kitchen-comfyui/models/embeddings/zorbl.safetensors",
        "kitchen-pack/README.txt",
        "kitchen-pack/kitchen.bas.safetensors",
        "kitchen-diffusers/README.txt",
        "kitchen-diffusers/kitchen_lora.safetensors",
        "kitchen-diffusers/kitchen_rest.safetensors",
        "kitchen-diffusers/kitchen_teapot.safetensors",
        "kitchen-diffusers/zorbl.safetensors",
    }
    readme = (out / "kitchen-a1111" / "README.txt").read_text()
    assert "<lora:kitchen:1> a photo of kitchen_teapot and zorbl in snow" in readme
    comfy = (out / "kitchen-comfyui" / "README.txt").read_text()
    assert "a photo of embedding:kitchen_teapot and embedding:zorbl in snow" in comfy
    assert read_manifest(tiny_run).base_hash in readme
    plain = read_header(out / "kitchen-a1111/models/Lora/kitchen.safetensors")
    bundle = read_header(out / "kitchen-a1111/one-file/kitchen.safetensors")
    assert bundle.shapes.keys() - plain.shapes.keys() == {
        "bundle_emb.kitchen_teapot.string_to_param.*", "bundle_emb.zorbl.string_to_param.*"
    }  # fmt: skip
    rows = load_file(tiny_run.concepts / "rows.safetensors")["placeholder_rows"]
    embedding = out / "kitchen-a1111/embeddings/zorbl.safetensors"
    assert load_file(embedding).keys() == {"emb_params"}
    assert torch.equal(load_file(embedding)["emb_params"], rows[1:])
    told = json.dumps(plain.metadata) + readme + comfy
    assert str(tmp_path) not in told and plain.metadata["sshs_model_hash"] != ""
    # Nothing but bas and diffusers opens the tiny model, and that is said.
    assert any(isinstance(event, Notice) and event.level == "warning" for event in events)


def test_a_lora_that_was_trained_goes_out_as_it_is(tiny_run: RunDir, tmp_path: Path) -> None:
    changes = load_file(tiny_run.concepts / "changes.safetensors")
    trained: dict[str, torch.Tensor] = {}
    for name, change in changes.items():
        layer = name.removesuffix(".weight")
        if change.ndim in (2, 4) and layer != name and "embedding" not in name:
            ones = (1,) * (change.ndim - 2)
            trained[f"{layer}.lora_A.weight"] = torch.randn(3, *change.shape[1:]).half()
            trained[f"{layer}.lora_B.weight"] = torch.randn(len(change), 3, *ones).half()
    (tiny_run.concepts / "changes.safetensors").unlink()
    save_tensors(tiny_run.concepts / "lora.safetensors", trained)
    export(tiny_run, tmp_path / "out", "diffusers", "comfyui", "pack", small=True, rank=1)
    written = load_file(tmp_path / "out/kitchen-diffusers/kitchen_lora.safetensors")
    assert len(written) == len(trained)
    for name, tensor in trained.items():
        there = name.replace("text_encoder.enc", "text_encoder.text_model.enc")
        assert torch.equal(written[there], tensor)
    kohya = load_file(tmp_path / "out/kitchen-comfyui/models/loras/kitchen.safetensors")
    assert {float(t) for name, t in kohya.items() if name.endswith(".alpha")} == {3.0}
    ups = [t for name, t in kohya.items() if name.endswith(".lora_up.weight")]
    assert len(ups) == len(trained) / 2
    readme = (tmp_path / "out/kitchen-comfyui/README.txt").read_text()
    assert "rank 3, just as it was trained" in readme


def test_a_rank_cuts_loras_and_packs(tiny_run: RunDir, tmp_path: Path) -> None:
    export(tiny_run, tmp_path, "comfyui", "pack", rank=2, pure=True)
    lora = read_header(tmp_path / "kitchen-comfyui/models/loras/kitchen.safetensors")
    assert max(s[0] for name, s in lora.shapes.items() if "lora_down" in name) == 2
    assert not [name for name in lora.shapes if name.endswith(("_norm", "diff_b"))]
    pack = read_header(tmp_path / "kitchen-pack/kitchen.bas.safetensors")
    assert pack.metadata["rank"] == "2"
    assert not [name for name in pack.shapes if name.startswith("change/")]
    with pytest.raises(UserError, match="rank 500"):
        export(tiny_run, tmp_path, "comfyui", rank=500)


def test_words_alone_have_no_lora(tiny_run: RunDir, tmp_path: Path) -> None:
    (tiny_run.concepts / "changes.safetensors").unlink()
    export(tiny_run, tmp_path, "a1111")
    assert files_in(tmp_path / "kitchen-a1111") == {
        "README.txt", "embeddings/kitchen_teapot.safetensors", "embeddings/zorbl.safetensors"
    }  # fmt: skip
    assert "<lora" not in (tmp_path / "kitchen-a1111" / "README.txt").read_text()


@pytest.mark.parametrize(("kind", "version"), [("sd1", 1), ("sd2", 2)])
def test_a_whole_model_in_one_file_has_every_weight_of_the_run(
    tiny_run: RunDir, tiny_pipeline: Path, tmp_path: Path, kind: Any, version: int
) -> None:
    """Read from a model in half precision, the sums to the last bit those of single precision."""
    base = tmp_path / "base"
    shutil.copytree(tiny_pipeline, base)
    for file in base.rglob("*.safetensors"):
        halves = {
            name: t.half() if t.is_floating_point() else t for name, t in load_file(file).items()
        }
        save_tensors(file, halves, {"format": "pt"})
    loaded = load_family(str(base), device=CPU, report=lambda _event: None)
    load_concepts(tiny_run.concepts, loaded.family)
    mapped = load_family(str(base), device=CPU, report=lambda _event: None, mapped=True)
    load_rows(tiny_run.concepts, mapped.family)
    parts = parts_of(mapped.family, weight_changes(read_learned(tiny_run)), once=True)
    assert parts.unet.dtype == parts.vae.dtype == torch.float16
    _, facts = base_facts(str(tiny_pipeline), TrainConfig(), lambda _event: None)
    facts = dataclasses.replace(facts, kind=kind)
    tensors = checkpoint_tensors(parts, facts, torch.float32)
    path = tmp_path / "whole.safetensors"
    names = set(tensors)
    save_pending(path, tensors, checkpoint_metadata(facts, "x", "whole"))
    # The base model itself in the same layout has the same names, but for company.
    other = load_file(write_ldm_file(tiny_pipeline, tmp_path / "base.safetensors", version=version))
    company = {name for name in other if name.startswith(("alphas", "model_ema"))}
    extras = {"position_ids", "logit_scale", "text_projection"}
    company |= {name for name in other if name.rpartition(".")[2] in extras}
    assert names == other.keys() - company and not tensors
    configs = tmp_path / "whole"
    shutil.copytree(tiny_pipeline, configs, ignore=shutil.ignore_patterns("*.safetensors"))
    opened = load_family(str(path), device=CPU, report=lambda _event: None)
    there = weights_of(opened.family)
    for name, weight in weights_of(loaded.family).items():
        assert torch.equal(there[name], weight), name


def test_what_cannot_be_written_is_refused_before_anything_is(
    tiny_run: RunDir, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="no Stable Diffusion"):
        export(tiny_run, out, "pack", "checkpoint")
    with pytest.raises(UserError, match="which program"):
        export(tiny_run, out)
    foreign = out / "kitchen-comfyui"
    foreign.mkdir(parents=True)
    (foreign / "main.py").write_text("precious")
    with pytest.raises(UserError, match="in the way"):
        export(tiny_run, out, "pack", "comfyui")
    assert files_in(out) == {"kitchen-comfyui/main.py"}
    manifest = read_manifest(tiny_run)
    record = json.loads((tiny_run.concepts / "concepts.json").read_text())
    record["base_hash"] = "0" * 64
    (tiny_run.concepts / "concepts.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="other weights"):
        export(tiny_run, out, "pack")
    shutil.rmtree(tiny_run.concepts)
    write_manifest(tiny_run, manifest)
    with pytest.raises(UserError, match="no concepts yet"):
        export(tiny_run, out, "pack")


def test_an_export_may_be_made_again(tiny_run: RunDir, tmp_path: Path) -> None:
    export(tiny_run, tmp_path, "pack", rank=2)
    export(tiny_run, tmp_path, "pack")
    header = read_header(tmp_path / "kitchen-pack/kitchen.bas.safetensors")
    assert header.metadata["rank"] == "0" and header.shapes
