"""Drawing with other people's files: every naming and form of a LoRA, embeddings, other runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import UserError
from engine.families.contract import Family
from engine.families.loading import load_folder
from engine.models.additions import addition_header, made_for
from engine.results.additions.lora_file import read_lora
from engine.results.exports.exporter import ExportRequest, export_run
from engine.results.exports.layouts import UnetShape, unet_name
from engine.results.exports.loaded import weights_of
from engine.results.exports.lora_names import kohya_tensors, peft_tensors
from engine.results.exports.low_rank import LowRank
from engine.results.learned_model import LearnedModel, load_learned
from engine.runs.added_files import find_added, keep_added
from engine.runs.folder import RunDir, added_files
from engine.runs.prompts import resolve_prompt
from engine.runs.requests import Addition, Additions, GenerationRequest

CPU = torch.device("cpu")
Tensors = dict[str, torch.Tensor]
LINEAR = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
OUT = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "unet.down_blocks.0.resnets.0.conv1"
TEXT = "text_encoder.encoder.layers.0.self_attn.q_proj"
TEXT_XL = "text_encoder_2.encoder.layers.0.mlp.fc1"


def nothing(_event: object) -> None:
    """What is said meanwhile is not looked at."""


def plain(name: str) -> str:
    return name.replace(".text_model.", ".")


@pytest.fixture(scope="module")
def sd(tiny_pipeline: Path) -> Family:
    return load_folder(tiny_pipeline, device=CPU)


@pytest.fixture(scope="module")
def xl(tiny_sdxl: Path) -> Family:
    return load_folder(tiny_sdxl, device=CPU)


def weight_of(family: Family, layer: str) -> torch.Tensor:
    weights = {plain(name): weight for name, weight in weights_of(family).items()}
    return weights[f"{layer}.weight"].detach()


def low_rank(family: Family, *layers: str) -> dict[str, LowRank]:
    generator = torch.Generator().manual_seed(0)
    found: dict[str, LowRank] = {}
    for layer in layers:
        weight = weight_of(family, layer)
        ones = (1,) * (weight.ndim - 2)
        found[layer] = LowRank(
            torch.randn(2, *weight.shape[1:], generator=generator),
            torch.randn(len(weight), 2, *ones, generator=generator),
        )
    return found


def renamed(layers: Mapping[str, LowRank], name: Callable[[str], str], ends: str) -> Tensors:
    down, up = ends.split()
    return {
        key: tensor
        for layer, factors in layers.items()
        for key, tensor in ((name(layer) + down, factors.down), (name(layer) + up, factors.up))
    }


def written(folder: Path, tensors: Mapping[str, torch.Tensor], **metadata: str) -> Path:
    path = folder / "style.safetensors"
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata or None)
    return path


def shape_of(family: Family) -> UnetShape:
    unet = family.targets.networks["unet"]
    return UnetShape.of(unet.config)  # pyright: ignore[reportArgumentType]


def test_every_naming_is_read(sd: Family, xl: Family, tmp_path: Path) -> None:
    shape = shape_of(sd)
    layers = low_rank(sd, LINEAR, OUT, CONV, TEXT)
    unet = {layer: factors for layer, factors in layers.items() if layer.startswith("unet")}
    old = {layer: factors for layer, factors in layers.items() if "attn" in layer}

    def original(layer: str) -> str:
        return f"diffusion_model.{unet_name(layer.removeprefix('unet.'), shape)}"

    def processor(layer: str) -> str:
        head, _, tail = layer.removesuffix(".0").rpartition(".")
        if layer == TEXT:
            return layer.replace("text_encoder.", "text_encoder.text_model.").replace(
                "q_proj", "to_q"
            )
        return f"{head}.processor.{tail}"

    xl_layers = low_rank(xl, TEXT, TEXT_XL, "unet.mid_block.resnets.1.conv2")
    files = [
        (sd, layers, kohya_tensors(layers, "sd1", shape)),
        (sd, unet, kohya_tensors(unet, "sdxl", shape)),
        (sd, layers, peft_tensors(layers)),
        (sd, unet, renamed(unet, original, ".lora_down.weight .lora_up.weight")),
        (sd, old, renamed(old, processor, "_lora.down.weight _lora.up.weight")),
        (sd, unet, renamed(unet, lambda layer: f"base_model.model.{layer[5:]}",
                           ".lora_A.weight .lora_B.weight")),
        (xl, xl_layers, kohya_tensors(xl_layers, "sdxl", shape_of(xl))),
        (xl, xl_layers, peft_tensors(xl_layers)),
    ]  # fmt: skip
    for family, wanted, tensors in files:
        found = read_lora(written(tmp_path, tensors), family)
        assert not found.weights
        assert {plain(layer) for layer in found.layers} == wanted.keys(), min(tensors)
        for layer, factors in found.layers.items():
            assert torch.equal(factors.product(), wanted[plain(layer)].product()), layer


def test_alpha_is_kept_wherever_it_stands(sd: Family, tmp_path: Path) -> None:
    layers = low_rank(sd, LINEAR)
    peft = peft_tensors(layers)
    wanted = layers[LINEAR].product()

    def read(tensors: Tensors, **metadata: str) -> torch.Tensor:
        return read_lora(written(tmp_path, tensors, **metadata), sd).layers[LINEAR].product()

    kohya = kohya_tensors(layers, "sd1", shape_of(sd))
    (alpha,) = (name for name in kohya if name.endswith(".alpha"))
    torch.testing.assert_close(read(kohya | {alpha: torch.tensor(1.0)}), wanted / 2)
    told = '{"unet.lora_alpha": 8, "unet.r": 2, "unet.alpha_pattern": {"attn2.to_v": 1}}'
    torch.testing.assert_close(read(peft, lora_adapter_metadata=told), wanted * 4)
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 1, "r": 2}')
    torch.testing.assert_close(read(peft), wanted / 2)


def test_other_forms_than_thin_matrices(sd: Family, tmp_path: Path) -> None:
    """Against sums written out, entry by entry where that is short."""
    conv, linear = weight_of(sd, CONV), weight_of(sd, LINEAR)
    rows, columns = linear.shape
    out, into = conv.shape[:2]
    k = "lora_unet_" + LINEAR.removeprefix("unet.").replace(".", "_")
    c = "lora_unet_" + CONV.removeprefix("unet.").replace(".", "_")
    w1a, w1b = torch.randn(rows, 2), torch.randn(2, columns)
    w2a, w2b = torch.randn(rows, 2), torch.randn(2, columns)
    mid, up, down = torch.randn(2, 2, 3, 3), torch.randn(out, 2), torch.randn(2, into)
    small, large = torch.randn(2, 2), torch.randn(rows // 2, columns // 2)
    loha = {
        f"{k}.hada_w1_a": w1a, f"{k}.hada_w1_b": w1b, f"{k}.hada_w2_a": w2a,
        f"{k}.hada_w2_b": w2b, f"{k}.alpha": torch.tensor(1.0),
        f"{c}.lora_mid.weight": mid, f"{c}.lora_up.weight": up[..., None, None],
        f"{c}.lora_down.weight": down[..., None, None],
    }  # fmt: skip
    found = read_lora(written(tmp_path, loha), sd)
    torch.testing.assert_close(found.weights[f"{LINEAR}.weight"], (w1a @ w1b) * (w2a @ w2b) / 2)
    wanted = sum(
        up[:, r, None, None, None] * mid[r, s] * down[s][:, None, None]
        for r in range(2) for s in range(2)
    )  # fmt: skip
    torch.testing.assert_close(found.weights[f"{CONV}.weight"], wanted)
    bias = torch.randn(out)
    lokr = {
        f"{k}.lokr_w1": small, f"{k}.lokr_w2": large, f"{k}.alpha": torch.tensor(9.0),
        f"{c}.diff": torch.ones_like(conv), f"{c}.diff_b": bias,
    }  # fmt: skip
    found = read_lora(written(tmp_path, lokr), sd)
    blocks = torch.cat([torch.cat([small[i, j] * large for j in range(2)], 1) for i in range(2)])
    torch.testing.assert_close(found.weights[f"{LINEAR}.weight"], blocks)
    assert torch.equal(found.weights[f"{CONV}.bias"], bias)
    assert (found.weights[f"{CONV}.weight"] == 1).all() and not found.layers


def test_what_does_not_fit_is_refused_in_one_line(sd: Family, xl: Family, tmp_path: Path) -> None:
    layers = low_rank(sd, LINEAR, CONV, TEXT)
    good = kohya_tensors(layers, "sd1", shape_of(sd))

    def refused(tensors: Tensors, **metadata: str) -> str:
        with pytest.raises(UserError) as error:
            read_lora(written(tmp_path, tensors, **metadata), sd)
        assert "\n" not in str(error.value) and error.value.remedy
        return error.value.message

    # One key too many, in a file that fits otherwise: half a LoRA is another LoRA.
    assert "the key lora_unet_nowhere" in refused(
        good | {"lora_unet_nowhere.lora_down.weight": torch.ones(2, 2)}
    )
    assert "the key betas" in refused(good | {"betas": torch.ones(2, 2, 2)})
    assert "is an embedding" in refused({"emb_params": torch.ones(2, 8)})
    lone = {name: t for name, t in good.items() if not name.endswith("q_proj.lora_up.weight")}
    assert "the key text_encoder" in refused(lone)
    told = {"ss_base_model_version": "sdxl_base_v1-0"}
    other = kohya_tensors(low_rank(xl, TEXT, TEXT_XL), "sdxl", shape_of(xl))
    assert "made for Stable Diffusion XL" in refused(other, **told)
    wide = {"unet.x.attn2.to_k.lora_A.weight": torch.ones(2, 768)}
    assert "made for Stable Diffusion 1.x" in refused(wide)
    assert "transformer" in refused({"transformer.x.lora_A.weight": torch.ones(2, 9)})
    key = next(name for name in good if name.endswith("to_k.alpha"))
    assert "DoRA" in refused(good | {key.replace("alpha", "dora_scale"): torch.ones(2)})
    assert "no LoRA" in refused({"bundle_emb.x.clip_l": torch.ones(1, 8)})
    (tmp_path / "style.pt").write_bytes(b"PK")
    with pytest.raises(UserError, match="pickle"):
        read_lora(tmp_path / "style.pt", sd)
    header = addition_header(written(tmp_path, good, **{"modelspec.architecture": "flux-1-dev"}))
    assert made_for(header) == "Flux"


def learned(run: RunDir, **kinds: tuple[Addition, ...]) -> LearnedModel:
    return load_learned(run, device=CPU, report=nothing, additions=Additions(**kinds))


def encoded(model: LearnedModel, prompt: str) -> torch.Tensor:
    text = model.family.text
    resolved = resolve_prompt(prompt, model.concepts, model.manifest.grammar, model.words)
    with torch.no_grad():
        return text.encode(text.tokenize([resolved])).states_BLD


def test_an_export_comes_back_as_lora_and_embedding(tiny_run: RunDir, tmp_path: Path) -> None:
    """The change of a run through A1111's files, laid over a run that has the words alone."""
    request = ExportRequest(run=tiny_run, targets=("a1111",), out=tmp_path, check=False, rank=128)
    export_run(request, nothing)
    wanted = learned(tiny_run)
    bare = RunDir(tiny_run.path.with_name("bare"))
    shutil.copytree(tiny_run.path, bare.path)
    (bare.concepts / "changes.safetensors").unlink()
    lora = tmp_path / "kitchen-a1111/one-file/kitchen.safetensors"
    zorbl = tmp_path / "kitchen-a1111/embeddings/zorbl.safetensors"
    got = learned(
        bare, loras=(Addition(str(lora)),), embeddings=(Addition(str(zorbl), name="odd"),)
    )
    # The bundle's own <zorbl> gives way to the run's.
    assert list(got.words) == ["<odd>", "<kitchen_teapot>", "<zorbl-2>"]
    prompt = "a photo of <teapot> and <zorbl>"
    with_lora = encoded(got, prompt)
    for other in ("<teapot> and <odd>", "<kitchen_teapot> and <zorbl>", "<teapot> and <zorbl-2>"):
        assert torch.equal(encoded(got, f"a photo of {other}"), with_lora)
    own, words_alone = encoded(wanted, prompt), encoded(learned(bare), prompt)
    # But for the text encoder's norms and biases, which no LoRA file has.
    assert (with_lora - own).norm() < 0.6 * (words_alone - own).norm()
    wanted_unet, unet = weights_of(wanted.family), weights_of(got.family)
    norms = [name for name in unet if name.startswith("unet.") and "norm" in name]
    assert len(norms) > 10
    for name in norms:  # Thin matrices hold none of them: they stand beside.
        torch.testing.assert_close(unet[name], wanted_unet[name], rtol=0, atol=1e-6)


def test_things_of_two_runs_in_one_prompt(tiny_run: RunDir, tiny_pipeline: Path) -> None:
    other = RunDir(tiny_run.path.with_name("other"))
    shutil.copytree(tiny_run.path, other.path)
    alone = learned(tiny_run)
    both = learned(tiny_run, others=(Addition(str(other.path), 0.5),))
    assert [concept.token for concept in both.concepts] == [f"<asset{i}>" for i in range(4)]
    assert [c.name for c in both.concepts] == ["teapot", "zorbl", "teapot-2", "zorbl-2"]
    prompt = "a photo of <teapot> and <{}>"
    assert torch.equal(
        encoded(both, prompt.format("zorbl")), encoded(both, prompt.format("asset3"))
    )
    base = load_folder(tiny_pipeline, device=CPU)
    for name, weight in weights_of(both.family).items():
        before, once = weights_of(base)[name], weights_of(alone.family)[name]
        torch.testing.assert_close(weight - before, (once - before) * 1.5, rtol=0, atol=1e-6)
    stranger = RunDir(tiny_run.path.with_name("stranger"))
    shutil.copytree(tiny_run.path, stranger.path)
    record = (stranger.concepts / "concepts.json").read_text()
    (stranger.concepts / "concepts.json").write_text(record.replace('_hash": "', '_hash": "0'))
    with pytest.raises(UserError, match="another base model"):
        learned(tiny_run, others=(Addition(str(stranger.path)),))


def test_an_embedding_of_several_vectors_and_for_both_encoders(
    tiny_run: RunDir, tmp_path: Path
) -> None:
    width = load_learned(tiny_run, device=CPU, report=nothing).family.text.embeddings()[0]
    rows = torch.randn(3, width.embedding_dim)
    save_file({"emp_params": rows}, tmp_path / "old print.safetensors")
    addition = Addition(str(tmp_path / "old print.safetensors"))
    model = learned(tiny_run, embeddings=(addition,))
    assert model.words == {"<old-print>": "<asset2> <asset3> <asset4>"}
    assert torch.equal(model.family.text.embeddings()[0].placeholder_rows[2:], rows)
    encoded(model, "a photo of <teapot> in <old-print>")
    save_file(
        {"clip_l": torch.ones(1, 768), "clip_g": torch.ones(1, 1280)}, tmp_path / "x.safetensors"
    )
    with pytest.raises(UserError, match="embedding for Stable Diffusion XL"):
        learned(tiny_run, embeddings=(Addition(str(tmp_path / "x.safetensors")),))
    with pytest.raises(UserError, match="<zorbl> already"):
        learned(tiny_run, embeddings=(addition._replace(name="zorbl"),))


def test_a_request_keeps_its_additions_on_the_way(tmp_path: Path) -> None:
    additions = Additions(
        (Addition("/a/style.safetensors", 0.5),), (Addition("/e", name="odd"),), (Addition("/r"),)
    )
    request = GenerationRequest(
        run=RunDir(tmp_path), prompt="<odd>", out=tmp_path, additions=additions
    )
    assert GenerationRequest.parse(json.loads(request.line())).additions == additions
    told = {"lora": "style.safetensors:0.5", "embedding": "odd=e:1", "with": "r:1"}
    assert additions.told() == told
    read = Additions.read(*told.values())
    assert read.told() == told and read.loras == (Addition("style.safetensors", 0.5),)
    odd = Additions((Addition("a, b:2"), Addition("n=1", -0.25)), (Addition("c=d, e", name="w"),))
    assert Additions.read(odd.told()["lora"], odd.told()["embedding"], "") == odd
    assert additions and not Additions()
    # Into a folder that has another file of the list's name.
    added_files(tmp_path).write_text('{"a": 1}')
    keep_added(additions, tmp_path)
    assert added_files(tmp_path).read_text() == '{"a": 1}'
    assert find_added("style.safetensors", tmp_path) is None
