"""Named models and hub ids, fetched from a hub on the loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from engine.core.errors import UserError
from engine.families.loading import LoadedBase, load_family
from engine.models import names
from engine.models.names import BaseModel
from engine.models.resolve import check_available
from engine.runs.events import Event, Notice, Progress
from engine.segments.model_files import find_model, with_weights
from tests.models.fake_hub import FakeHub, serve
from tests.tiny import build_tiny_pipeline

CPU = torch.device("cpu")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's caches."""
    monkeypatch.setenv("BAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `address` the hub of the client, which reads HF_ENDPOINT only when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve() as fake:
        point_at(fake.address, monkeypatch)
        yield fake


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tiny_pipeline: Path) -> BaseModel:
    """The base model `sd21` with the tiny pipeline's hash as the published one."""
    digest = hashlib.sha256((tiny_pipeline / UNET).read_bytes()).hexdigest()
    model = BaseModel(
        name="sd21",
        title="for a test",
        licence="MIT",
        repositories=("first/model", "second/model"),
        unet_sha256=(digest,),
    )
    monkeypatch.setitem(names.BASE_MODELS, "sd21", model)
    return model


@pytest.fixture
def other_weights(tmp_path: Path) -> Path:
    return build_tiny_pipeline(tmp_path / "other", seed=1)


def load(base: str, report: Callable[[Event], None] = lambda _: None) -> LoadedBase:
    return load_family(base, device=CPU, report=report)


def warnings(events: list[Event]) -> list[str]:
    return [e.message for e in events if isinstance(e, Notice) and e.level == "warning"]


def refused(base: str) -> UserError:
    with pytest.raises(UserError) as caught:
        load(base)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_named_model_is_fetched_once(
    hub: FakeHub, named: BaseModel, tiny_pipeline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["first/model"] = tiny_pipeline
    events: list[Event] = []
    loaded = load("sd21", events.append)
    assert loaded.base_hash in named.unet_sha256
    assert (loaded.source, loaded.licence) == ("first/model", "MIT")
    downloads = [e for e in events if isinstance(e, Progress) and e.stage == "download"]
    bytes_done = [(event.done, event.total) for event in downloads]
    size = sum(len((tiny_pipeline / name.partition("model/")[2]).read_bytes())
               for name in hub.requests)  # fmt: skip
    assert bytes_done[0] == (0, size) and bytes_done[-1] == (size, size)
    assert all(done <= total for done, total in bytes_done)
    assert capfd.readouterr() == ("", "")

    hub.repositories.clear()
    hub.requests.clear()
    again = load("sd21")
    assert again.base_hash == loaded.base_hash and hub.requests == []


def test_progress_counts_bytes_as_they_come(
    hub: FakeHub, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.models.hub.REPORT_SECONDS", 0.0)
    hub.repositories["some/model"] = tiny_pipeline
    events: list[Event] = []
    load("some/model", events.append)
    done = [e.done for e in events if isinstance(e, Progress) and e.stage == "download"]
    assert done == sorted(done) and len(set(done)) > 5
    assert done[-2] == done[-1], "the bytes that were reported as they came are all of them"


def test_only_what_is_needed_is_fetched(hub: FakeHub, tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_pipeline, tmp_path / "full"))
    for extra in (
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/pytorch_model.bin",
        "safety_checker/model.safetensors",
        "v2-1.ckpt",
        "v2-1.safetensors",
        "picture.png",
    ):
        (folder / extra).parent.mkdir(exist_ok=True)
        (folder / extra).write_bytes(b"never fetched")
    (folder / "README.md").write_text("---\nlicense: openrail++\n---\n# A model\n")
    hub.repositories["some/model"] = folder
    loaded = load("some/model")
    assert loaded.licence == "openrail++"
    fetched = {request.removeprefix("some/model/") for request in hub.requests}
    expected = {path.relative_to(tiny_pipeline).as_posix()
                for path in tiny_pipeline.rglob("*") if path.is_file()}  # fmt: skip
    assert fetched == expected | {"README.md"}


def test_half_precision_is_taken_when_there_is_nothing_else(
    hub: FakeHub, tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_pipeline, tmp_path / "half"))
    for name in (UNET, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        path = folder / name
        path.rename(path.with_suffix(".fp16.safetensors"))
    hub.repositories["some/model"] = folder
    assert next(iter(load("some/model").family.targets.weights().values())).dtype == torch.float32


def test_a_removed_repository_falls_through(
    hub: FakeHub, named: BaseModel, tiny_pipeline: Path
) -> None:
    hub.repositories["second/model"] = tiny_pipeline
    events: list[Event] = []
    assert load(named.name, events.append).source == "second/model"
    assert "first/model" in warnings(events)[0] and "removed" in warnings(events)[0]


def test_other_weights_are_refused_before_they_are_fetched(
    hub: FakeHub, named: BaseModel, tiny_pipeline: Path, other_weights: Path
) -> None:
    hub.repositories |= {"first/model": other_weights, "second/model": tiny_pipeline}
    events: list[Event] = []
    assert load(named.name, events.append).source == "second/model"
    assert "sha256" in warnings(events)[0]
    assert not any(request.startswith("first/") for request in hub.requests)


def test_other_weights_in_the_cache_are_passed_over(
    hub: FakeHub, named: BaseModel, tiny_pipeline: Path, other_weights: Path
) -> None:
    hub.repositories["first/model"] = other_weights
    load("first/model")
    hub.repositories |= {"second/model": tiny_pipeline}
    events: list[Event] = []
    assert load(named.name, events.append).source == "second/model"
    assert any("first/model" in line for line in warnings(events))


def test_no_repository_with_the_published_weights(
    hub: FakeHub, named: BaseModel, other_weights: Path
) -> None:
    hub.repositories["first/model"] = other_weights
    error = refused(named.name)
    assert "first/model" in error.message and "second/model" in error.message
    assert "--base pocket" in error.remedy


def test_a_gated_repository_says_so(hub: FakeHub, tiny_pipeline: Path) -> None:
    hub.repositories["some/model"] = tiny_pipeline
    hub.gated.add("some/model")
    error = refused("some/model")
    assert "accept its licence" in error.message and "sign in" in error.remedy


def test_an_unknown_repository_says_so(hub: FakeHub) -> None:
    assert hub.address
    error = refused("nobody/nothing")
    assert "no such repository" in error.message and "check the name" in error.remedy


def test_another_kind_of_model_is_refused_before_it_is_fetched(
    hub: FakeHub, tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_pipeline, tmp_path / "xl"))
    shutil.copytree(folder / "text_encoder", folder / "text_encoder_2")
    hub.repositories["some/xl"] = folder
    assert "it holds another kind of model; only" in refused("some/xl").message
    assert hub.requests == []


def test_a_repository_of_pickles_is_refused(
    hub: FakeHub, tiny_pipeline: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_pipeline, tmp_path / "pickles"))
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")
    hub.repositories["some/model"] = folder
    assert "no safetensors weights in unet/" in refused("some/model").message
    assert hub.requests == []


@pytest.mark.parametrize("base", ["sd21", "some/model"])
def test_nothing_reachable(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{closed.getsockname()[1]}", monkeypatch)
        error = refused(base)
    assert "cannot reach the model hub" in error.message
    assert error.remedy == "offline: use --base pocket or a local folder"


def test_a_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.hub.HUB_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        assert "timed out" in refused("sd21").message


def test_offline_mode_is_named(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused("sd21").message
    assert hub.requests == []


def test_a_transfer_that_breaks_off_can_go_on(hub: FakeHub, tiny_pipeline: Path) -> None:
    hub.repositories["some/model"] = tiny_pipeline
    hub.broken.add("diffusion_pytorch_model.safetensors")
    error = refused("some/model")
    assert "broke off" in error.message and "goes on where it stopped" in error.remedy
    hub.broken.clear()
    hub.requests.clear()
    load("some/model")
    assert "some/model/text_encoder/model.safetensors" not in hub.requests


def test_a_full_disk_is_seen_first(
    hub: FakeHub, tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["some/model"] = tiny_pipeline
    monkeypatch.setattr("engine.models.hub.SPARE_BYTES", 1 << 60)
    error = refused("some/model")
    assert "GB are free" in error.message and "make room" in error.remedy
    assert hub.requests == []


def test_availability_is_asked_without_fetching(
    hub: FakeHub, named: BaseModel, tiny_pipeline: Path, other_weights: Path
) -> None:
    check_available("pocket")
    check_available(str(tiny_pipeline))
    hub.repositories["first/model"] = other_weights
    with pytest.raises(UserError, match="no repository of sd21 can be used"):
        check_available(named.name)
    hub.repositories["second/model"] = tiny_pipeline
    check_available(named.name)
    with pytest.raises(UserError, match="no such repository"):
        check_available("nobody/nothing")
    assert hub.requests == []


def test_availability_needs_no_torch_and_no_hub_for_what_is_here(
    hub: FakeHub, tiny_pipeline: Path
) -> None:
    hub.repositories["some/model"] = tiny_pipeline
    load("some/model")
    hub.repositories.clear()
    check_available("some/model")
    script = (
        "import sys; from engine.models.resolve import check_available;"
        "check_available('pocket'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def sharded(folder: Path, kind: str) -> Path:
    """A repository of two shards and a tokenizer; what its weights hold is no matter here."""
    folder.mkdir()
    shards = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    index = {"weight_map": dict(zip("ab", shards, strict=True))}
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "tokenizer.json").write_text("{}")
    for name in shards:
        (folder / name).write_bytes(b"x" * 1000)
    return folder


def test_a_segmenters_weights_come_when_it_is_known_to_serve_and_whole(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.repositories = {
        "some/llm": sharded(tmp_path / "llm", "llama"),
        "some/words": sharded(tmp_path / "words", "clipseg"),
    }
    with pytest.raises(UserError, match="is a llama model"):
        find_model("some/llm", lambda _: None)
    found = find_model("some/words", lambda _: None)
    assert not [path for path in hub.requests if path.endswith(".safetensors")]
    hub.broken = {"model-00002-of-00002.safetensors"}
    with pytest.raises(UserError, match="broke off"):
        with_weights(found, lambda _: None)
    hub.broken = set()
    events: list[Event] = []
    folder = with_weights(found, events.append).folder
    assert len(list(folder.glob("*.safetensors"))) == 2
    assert next(event.total for event in events if isinstance(event, Progress)) == 1000
    hub.repositories = {}
    assert with_weights(find_model("some/words", lambda _: None), lambda _: None).folder == folder
