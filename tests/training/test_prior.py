"""Prior pictures: stopped within one, damaged, on a full disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.core.config import BaseConfig
from engine.core.settings import build_config
from engine.drawing.sampler import Cancelled
from engine.families.stable_diffusion import StableDiffusion
from engine.files.weights_io import save_tensors
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import Event, Notice, Progress, RunEnded
from engine.scenes.scene import Scene
from engine.training import prior
from engine.training.loop import train
from engine.training.prior import load_prior, prepare_prior, prior_folder
from tests.engine_fixtures import FAST
from tests.full_disk import mount, unmount

Load = Callable[[], StableDiffusion]
HOW: dict[str, Any] = {
    "prompt": "a photo", "count": 2, "steps": 2, "guidance": 3.0, "resolution": 64,
    "precision": "fp32",
}  # fmt: skip


def test_a_stop_ends_a_picture_within(fresh_family: Load, tmp_path: Path) -> None:
    looks: list[int] = []

    def stopped() -> bool:
        looks.append(1)
        return len(looks) == 2

    with pytest.raises(Cancelled):
        list(prepare_prior(fresh_family(), tmp_path, **{**HOW, "steps": 9}, stopped=stopped))
    assert len(looks) == 2 and not list(tmp_path.glob("*.safetensors"))


def test_a_run_stops_within_its_first_picture(fresh_family: Load, scene: Scene) -> None:
    commands = CommandQueue()
    events: list[Event] = []
    config = build_config(FAST, {"loss.prior_steps": 900})
    for event in train(fresh_family(), scene, config, commands=commands):
        events.append(event)
        if isinstance(event, Progress) and event.stage == "prior":
            commands.post(Command(word="stop"))
    assert events[-1] == RunEnded(step=0, outcome="stopped")


def test_a_damaged_file_is_made_again(fresh_family: Load, tmp_path: Path) -> None:
    family = fresh_family()
    list(prepare_prior(family, tmp_path, **HOW))
    whole = (tmp_path / "0001.safetensors").read_bytes()
    (tmp_path / "0001.safetensors").write_bytes(whole[:100])
    (tmp_path / ".0001.png.abcd1234").write_bytes(b"")
    events = list(prepare_prior(family, tmp_path, **HOW))
    assert [event.done for event in events if isinstance(event, Progress)] == [1, 2]
    assert (tmp_path / "0001.safetensors").read_bytes() == whole
    assert load_prior(tmp_path, 2).mean.shape[0] == 2
    assert (tmp_path / ".0001.png.abcd1234").exists(), "it may be another run's, at work"


def test_a_full_disk_is_waited_for(
    fresh_family: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "RETRY_SECONDS", 0.05)
    disk = mount(tmp_path / "disk", 2**20)
    try:
        ballast = disk.fill()
        waits = 0
        events: list[Event] = []
        for event in prepare_prior(fresh_family(), disk.path / "prior", **HOW):
            if event is None:
                waits += 1
                if waits == 1:
                    threading.Timer(0.1, ballast.unlink).start()
            else:
                events.append(event)
        (warning,) = [event for event in events if isinstance(event, Notice)]
        assert waits and "is full" in warning.message
        assert load_prior(disk.path / "prior", 2).mean.shape[0] == 2
    finally:
        unmount(disk)


def test_other_pictures_lie_elsewhere(tmp_path: Path) -> None:
    """What a person says of the base model changes its pictures or their latents."""
    vae = tmp_path / "vae.safetensors"
    save_tensors(vae, {"a": torch.zeros(1)})

    def folder(base: BaseConfig | None = None) -> Path:
        return prior_folder(
            tmp_path, base_hash="h", prompt="a photo", steps=2, guidance=1.0, resolution=64,
            base=base,
        )  # fmt: skip

    assert folder(BaseConfig()) == folder(), "pictures made before are still found"
    others = [BaseConfig(prediction="v"), BaseConfig(prediction="eps"), BaseConfig(vae=str(vae))]
    assert len({folder(), *map(folder, others)}) == 4
    before = folder(others[2])
    save_tensors(vae, {"a": torch.ones(2)})
    assert folder(others[2]) != before
