"""Concept packs: what they say, whom they fit, and that a bad one does nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bas_tui.client.host_process import host_environment
from engine.core.errors import UserError
from engine.models.headers import read_header
from engine.results.exports.exporter import ExportRequest, export_run
from engine.results.exports.importer import ImportRequest, import_source
from engine.results.exports.pack import read_facts, tensors_sha256
from engine.runs.events import Event, Notice
from engine.runs.exchange_events import PackOpened
from engine.runs.export_targets import TARGETS
from engine.runs.folder import RunDir, runs_dir
from engine.runs.library import list_runs
from engine.runs.manifest import read_manifest
from tests.tiny import build_tiny_pipeline


def take(pack: Path, base: Path | str, **options: Any) -> tuple[RunDir, list[Event]]:
    events: list[Event] = []
    request = ImportRequest(source=pack, base=str(base), **options)
    ended = import_source(request, events.append)
    return RunDir(Path(ended.run)), events


@pytest.fixture
def pack(tiny_run: RunDir, tmp_path: Path) -> Path:
    request = ExportRequest(
        run=tiny_run, targets=("pack",), out=tmp_path, licence="CC-BY-4.0", with_picture=True
    )
    export_run(request, lambda _event: None)
    return tmp_path / "kitchen-pack" / "kitchen.bas.safetensors"


Change = Callable[[dict[str, torch.Tensor], dict[str, str]], None]


def rewritten(pack: Path, change: Change) -> Path:
    """A pack that was changed and signed anew."""
    tensors, header = load_file(pack), dict(read_header(pack).metadata)
    change(tensors, header)
    header["sha256"] = tensors_sha256(tensors)
    save_file(tensors, pack, header)
    return pack


def test_a_pack_says_what_it_is(pack: Path, tiny_pipeline: Path) -> None:
    facts, header = read_facts(pack)
    assert [concept.name for concept in facts.concepts] == ["teapot", "zorbl"]
    assert (facts.licence, facts.method, facts.step, facts.rank) == (
        "CC-BY-4.0", "break-a-scene", 4, 0
    )  # fmt: skip
    assert facts.prompts[-1] == "a photo of <teapot> and <zorbl> on the beach"
    assert facts.base == tiny_pipeline.name and "/" not in facts.base
    assert str(tiny_pipeline.parent) not in json.dumps(header.metadata)
    assert header.shapes["masks"] == (2, 64, 64) and header.shapes["picture"] == (64, 64, 3)


def test_looking_makes_nothing(pack: Path) -> None:
    before = list_runs()
    _, events = take(pack, "", look=True)
    (opened,) = [event for event in events if isinstance(event, PackOpened)]
    assert opened.names == ("teapot", "zorbl") and list_runs() == before


def test_a_pack_of_a_private_base_asks_for_it(pack: Path, tiny_pipeline: Path) -> None:
    with pytest.raises(UserError, match="only its author has") as caught:
        take(pack, "")
    assert "--base" in caught.value.remedy
    run, events = take(pack, tiny_pipeline)
    assert not [e for e in events if isinstance(e, Notice) and e.level == "warning"]
    theirs = load_file(run.concepts / "changes.safetensors")
    assert theirs and read_manifest(run).settings["phase1.steps"] == 2


def test_other_weights_of_the_same_shape_are_told(pack: Path, tmp_path: Path) -> None:
    other = build_tiny_pipeline(tmp_path / "other", seed=1)
    run, events = take(pack, other)
    (warning,) = [e for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert "other weights" in warning.message and run.path.is_dir()


def test_what_does_not_fit_is_counted(pack: Path, tiny_pipeline: Path) -> None:
    def widen(tensors: dict[str, torch.Tensor], header: dict[str, str]) -> None:
        del header
        tensors["change/unet.conv_in.weight"] = torch.zeros(16, 9, 3, 3).half()

    rewritten(pack, widen)
    with pytest.raises(UserError, match=r"1 of \d+ changed weights do not") as caught:
        take(pack, tiny_pipeline)
    assert "--partly" in caught.value.remedy
    run, events = take(pack, tiny_pipeline, partly=True)
    assert any("left out" in e.message for e in events if isinstance(e, Notice))
    assert "unet.conv_in.weight" not in load_file(run.concepts / "changes.safetensors")


def test_words_of_another_width_never_fit(pack: Path) -> None:
    with pytest.raises(UserError, match="words of width 32, pocket takes 192"):
        take(pack, "pocket")


def _set(key: str, value: str) -> Change:
    return lambda _tensors, header: header.update({key: value})


def _add(name: str, tensor: torch.Tensor) -> Change:
    return lambda tensors, _header: tensors.update({name: tensor})


@pytest.mark.parametrize(
    "change",
    [
        _set("concepts", "[]"),
        _set("concepts", '[{"token": "x", "name": "../../x", "initializer": ""}, '
             '{"token": "x", "name": "b", "initializer": ""}]'),
        _set("concepts", "[" * 5000),
        _set("settings", "[1]"),
        _set("concepts", '[{"name": 7, "initializer": ""}, {"name": "b", "initializer": ""}]'),
        _set("settings", '{"device": {"a": "b"}}'),
        _set("versions", '{"torch": 2}'),
        _set("created", "NaN"),
        _set("created", "1e300"),
        _set("step", '"many"'),
        _set("step", "Infinity"),
        _set("rank", "-1"),
        _set("prompts", "x" * 200_000),
        _set("bas_pack", "2"),
        _add("change/../../evil", torch.zeros(1)),
        _add("placeholder_rows", torch.zeros(5, 32)),
        _add("preview", torch.zeros(8, 8, dtype=torch.uint8)),
        _add("preview", torch.zeros(8, 8, 3)),
        _add("masks", torch.zeros(9, 64, 64, dtype=torch.uint8)),
        _add("word_ids", torch.zeros(1)),
        lambda tensors, _header: tensors["word_ids"].fill_(-1),
        lambda tensors, _header: tensors["word_ids"].copy_(tensors["word_ids"] + 50_000),
        lambda tensors, _header: tensors.update(word_ids=tensors["word_ids"][1:].clone()),
        _add("word_rows", torch.full((1, 32), float("nan"))),
        _add("lora/unet.conv_in", torch.zeros(1, 1)),
        lambda _tensors, header: header.pop("kind"),
        lambda tensors, _header: tensors.pop("placeholder_rows"),
    ],
)  # fmt: skip
def test_no_dishonest_pack_makes_a_run(
    pack: Path, tiny_pipeline: Path, change: Callable[[Any, Any], None]
) -> None:
    rewritten(pack, change)
    before = {path.name for path in runs_dir().iterdir()}
    with pytest.raises(UserError) as caught:
        take(pack, tiny_pipeline)
    assert "\n" not in str(caught.value) and caught.value.remedy
    assert {path.name for path in runs_dir().iterdir()} == before


def test_a_changed_pack_and_no_pack_at_all(pack: Path, tiny_pipeline: Path, tmp_path: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[-5] ^= 1
    pack.write_bytes(data)
    with pytest.raises(UserError, match="other tensors than its author wrote"):
        take(pack, tiny_pipeline)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(UserError, match="no concept pack"):
        take(other, tiny_pipeline)
    other.write_text("hello")
    with pytest.raises(UserError, match="no safetensors file"):
        take(other, tiny_pipeline)


def test_words_of_a_pack_cannot_drive_a_terminal(pack: Path) -> None:
    rewritten(pack, _set("title", "a\x1b[2Jb\u202e"))
    rewritten(pack, _set("prompts", '["\\u001b]0;x\\u0007y"]'))
    facts, _ = read_facts(pack)
    assert facts.title == "a[2Jb" and facts.prompts == ("]0;xy",)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(
            folder / "unet" / "diffusion_pytorch_model.bin"), "pickled weights"),
        (lambda folder: (folder / "model_index.json").unlink(), "no diffusers folder"),
        (lambda _folder: None, "knows no learned tokens"),
    ],
)  # fmt: skip
def test_a_folder_without_learned_tokens(
    tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    folder = build_tiny_pipeline(tmp_path / "theirs")
    damage(folder)
    with pytest.raises(UserError, match=words):
        take(folder, "")


def test_what_is_named_from_one_folder_holds_in_every_other(
    pack: Path, tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative base, a relative BAS_HOME: neither is what it was in the next folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAS_HOME", "home")
    base = os.path.relpath(tiny_pipeline)
    run, _ = take(pack, base, concepts=("jug", "owl"))
    assert host_environment()["BAS_HOME"] == str(tmp_path / "home")
    monkeypatch.chdir("/")
    manifest = read_manifest(run)
    assert manifest.base == str(tiny_pipeline.resolve())
    assert [concept.name for concept in manifest.concepts] == ["jug", "owl"]
    export_run(ExportRequest(run=run, targets=("pack",), out=tmp_path), lambda _event: None)
    facts, _ = read_facts(tmp_path / "kitchen-pack" / "kitchen.bas.safetensors")
    assert facts.prompts[-1] == "a photo of <jug> and <owl> on the beach"


def test_a_folder_of_another_base_is_refused(tiny_run: RunDir, tmp_path: Path) -> None:
    request = ExportRequest(run=tiny_run, targets=("diffusers",), out=tmp_path, check=False)
    export_run(request, lambda _event: None)
    folder = tmp_path / "kitchen-diffusers" / "pipeline"
    other = build_tiny_pipeline(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="was not trained from"):
        take(folder, other)
    with pytest.raises(UserError, match="of another kind"):
        take(folder, "pocket")
    with pytest.raises(UserError, match="2 learned things"):
        take(folder, "", concepts=("a",))


def test_a_whole_model_goes_out_in_the_forms_that_need_no_other(
    tiny_run: RunDir, tiny_pipeline: Path, tmp_path: Path
) -> None:
    request = ExportRequest(run=tiny_run, targets=("diffusers",), out=tmp_path, check=False)
    export_run(request, lambda _event: None)
    folder = tmp_path / "kitchen-diffusers" / "pipeline"
    run, _ = take(folder, "")
    assert [concept.name for concept in read_manifest(run).concepts] == ["teapot", "zorbl"]
    out, events = tmp_path / "x", list[Event]()
    with pytest.raises(UserError, match="imported as a whole model"):
        export_run(ExportRequest(run=run, targets=("comfyui", "pack"), out=out), events.append)
    assert not out.exists()
    targets = tuple(TARGETS)
    export_run(ExportRequest(run=run, targets=targets, out=out, what_fits=True), events.append)
    said = [e.message for e in events if isinstance(e, Notice) and "is left out" in e.message]
    assert [words.split()[1] for words in said] == ["a1111", "comfyui", "checkpoint"]
    assert sorted(path.name for path in out.iterdir()) == ["pipeline-diffusers", "pipeline-pack"]
    (again, told) = take(out / "pipeline-diffusers" / "pipeline", tiny_pipeline)
    assert (again.concepts / "changes.safetensors").is_file()
    assert any("differs from it, no more" in e.message for e in told if isinstance(e, Notice))
    assert str(tmp_path) not in (out / "pipeline-diffusers" / "README.txt").read_text()
