"""What must hold for every registered family: training, resuming, previews, drawing, adapters."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.adapters.lora import LowRankChange
from engine.core.errors import BasError
from engine.core.settings import build_config
from engine.drawing.sampler import condition, denoise, draw, starting_noise, whole_pictures
from engine.families.contract import Family
from engine.families.loading import load_folder
from engine.results.concepts import load_concepts
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import Event, PhaseStarted, PreviewSaved, RunEnded, StepDone
from engine.runs.folder import RunDir
from engine.scenes.scene import Scene
from engine.training.loop import train
from tests.engine_fixtures import FAST

CPU = torch.device("cpu")
SETTINGS = FAST | {"phase1.steps": 2, "phase2.steps": 2, "lora.rank": 2}
TRAINED = ["all", "lora"]
Load = Callable[[], Family]


@pytest.fixture(params=["tiny_pipeline", "tiny_sdxl", "toy_family"])
def load(request: pytest.FixtureRequest) -> Load:
    """Loads a family anew: training changes it in place."""
    folder: Path = request.getfixturevalue(request.param)
    return lambda: load_folder(folder, device=CPU)


def numbers(events: list[Event]) -> list[tuple[float, ...]]:
    steps = [event for event in events if isinstance(event, StepDone)]
    return [(step.step, step.loss, step.attention, step.prior, step.grad_norm) for step in steps]


def everything(family: Family) -> dict[str, torch.Tensor]:
    named = {name: weight.detach().clone() for name, weight in family.targets.weights().items()}
    for index, embedding in enumerate(family.text.embeddings()):
        named[f"rows{index}"] = embedding.placeholder_rows.detach().clone()
    return named


def picture(family: Family) -> np.ndarray:
    return next(draw(family, ["a photo of <asset1>"], seeds=[1], steps=2, guidance=3.0))


@pytest.mark.parametrize("trained", TRAINED)
def test_two_phases(load: Load, scene: Scene, trained: str) -> None:
    family = load()
    config = build_config(SETTINGS, {"phase2.train": trained})
    events: list[Event] = []
    before: dict[str, torch.Tensor] = {}
    for event in train(family, scene, config):
        events.append(event)
        if isinstance(event, PhaseStarted):
            if event.phase == 2:
                moved = {n for n, value in everything(family).items() if (value != before[n]).any()}
                assert moved == {name for name in before if name.startswith("rows")}
            before = everything(family)
    assert events[-1] == RunEnded(step=4, outcome="finished")
    assert all(math.isfinite(number) for step in numbers(events) for number in step)
    moved = {name for name, value in everything(family).items() if (value != before[name]).any()}
    networks = {name.partition(".")[0] for name in moved}
    rows = {name for name in before if name.startswith("rows")}
    assert networks == (rows if trained == "lora" else rows | set(family.targets.networks))


@pytest.mark.parametrize("trained, stop", [*product(TRAINED, (1, 3)), ("8bit", 3)])
def test_a_resumed_run_is_the_whole_run(
    load: Load, scene: Scene, tmp_path: Path, trained: str, stop: int
) -> None:
    """To the last bit, in both phases."""
    settings = {"data.crop": 0.5, "data.variants": 2}
    settings |= {"optimizer.kind": "adamw8bit"} if trained == "8bit" else {"phase2.train": trained}
    config = build_config(SETTINGS, settings)
    whole_family, resumed_family = load(), load()
    whole = numbers(list(train(whole_family, scene, config)))
    run, commands, first = RunDir(tmp_path / "run"), CommandQueue(), []
    for event in train(load(), scene, config, run=run, commands=commands):
        first.append(event)
        if isinstance(event, StepDone) and event.step == stop:
            commands.post(Command(word="stop"))
    second = list(train(resumed_family, scene, config, run=run))
    assert numbers(first) + numbers(second) == whole
    expected = everything(whole_family)
    for name, value in everything(resumed_family).items():
        assert torch.equal(value, expected[name]), name
    assert np.array_equal(picture(resumed_family), picture(whole_family))


def test_previews_change_nothing(load: Load, scene: Scene, tmp_path: Path) -> None:
    plain = numbers(list(train(load(), scene, build_config(SETTINGS))))
    watched = list(
        train(
            load(), scene, build_config(SETTINGS, {"preview.every": 2}),
            run=RunDir(tmp_path / "run"),
        )
    )  # fmt: skip
    assert numbers(watched) == plain
    assert len([event for event in watched if isinstance(event, PreviewSaved)]) == 2


def test_gradient_checkpointing_keeps_the_attention_loss(load: Load, scene: Scene) -> None:
    settings = SETTINGS | {"loss.attention_weight": 1.0, "phase2.train": "lora"}
    plain = numbers(list(train(load(), scene, build_config(settings))))
    saving = build_config(settings, {"gradient_checkpointing": True})
    torch.testing.assert_close(
        torch.tensor(numbers(list(train(load(), scene, saving)))), torch.tensor(plain),
        rtol=1e-3, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("trained", TRAINED)
def test_concepts_bring_the_model_back(
    load: Load, scene: Scene, tmp_path: Path, trained: str
) -> None:
    run, family = RunDir(tmp_path / "run"), load()
    config = build_config(SETTINGS, {"phase2.train": trained, "phase2.learning_rate": 1e-2})
    list(train(family, scene, config, run=run, base_hash="h"))
    loaded = load()
    change = load_concepts(run.concepts, loaded, base_hash="h")
    difference = picture(loaded).astype(int) - picture(family).astype(int)
    assert abs(difference).max() <= 2
    assert (change is not None) == (trained == "lora")
    plain = load()
    load_concepts(run.concepts, plain, base_hash="h", strength=0.0)
    assert not np.array_equal(picture(plain), picture(loaded))
    if change is not None:
        change.strength = 0.0
        assert np.array_equal(picture(plain), picture(loaded))


def test_a_low_rank_change_is_a_product(load: Load) -> None:
    """Against the weights `W + B A` themselves, linear and convolution layers."""
    family, merged = load(), load()
    generator = torch.Generator().manual_seed(0)
    layers = family.targets.layers("all", text_encoder=True)
    change = LowRankChange.fresh(layers, 2, generator)
    factors = change.parameters()
    with torch.no_grad():
        for name, factor in factors.items():
            if name.endswith("/B"):
                factor.copy_(torch.randn(factor.shape, generator=generator) * 0.02)
        for name in layers:
            a, b = factors[f"lora/{name}/A"], factors[f"lora/{name}/B"]
            weight = merged.targets.weights()[f"{name}.weight"]
            weight.add_((b.flatten(1) @ a.flatten(1)).view_as(weight) * 0.5)
    change.begin()
    change.strength = 0.5
    noise = starting_noise(family, [1], 64)
    outputs = []
    with torch.no_grad():
        for one in (family, merged):
            given = condition(one, ["a photo of a cat"]), whole_pictures(64, 1, CPU)
            outputs.append(one.predict(noise, torch.tensor([300]), *given))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    change.detach()
    with torch.no_grad():
        given = condition(family, ["a photo of a cat"]), whole_pictures(64, 1, CPU)
        plain = family.predict(noise, torch.tensor([300]), *given)
    assert not torch.equal(plain, outputs[0])


def test_a_low_rank_change_of_another_model_is_refused(load: Load, tmp_path: Path) -> None:
    family = load()
    change = LowRankChange.fresh(
        family.targets.layers("attention", text_encoder=False), 2, torch.Generator()
    )
    change.begin()
    change.write(tmp_path, change.parameters())
    change.detach()
    LowRankChange.load(tmp_path / "lora.safetensors", load())
    with torch.no_grad():
        name, weight = next(
            (name, weight) for name, weight in family.targets.weights().items()
            if ".attn2.to_k.weight" in name
        )  # fmt: skip
        layer = dict(family.targets.layers("all", text_encoder=True))[name.removesuffix(".weight")]
        layer.weight = torch.nn.Parameter(weight[:, :-1].clone())  # pyright: ignore
    with pytest.raises(BasError, match="does not fit this base model"):
        LowRankChange.load(tmp_path / "lora.safetensors", family)


@pytest.mark.parametrize("sampler", ["ddim", "dpm++"])
def test_latents_can_be_changed_at_every_step(load: Load, sampler: str) -> None:
    """As editing does: what is sent back is what the next step goes on from."""
    family = load()
    noise = starting_noise(family, [1], 64)
    solver = family.noise.solver(sampler, 4)
    with torch.no_grad():
        work = denoise(
            family, solver, solver.start(noise), condition(family, ["a cat"]), None,
            guidance=1.0, geometry_BG=whole_pictures(64, 1, CPU),
        )  # fmt: skip
        levels: list[Any] = []
        step = next(work)
        try:
            while True:
                levels.append(step.level)
                step = work.send(torch.zeros_like(step.latents_BCHW))
        except StopIteration as end:
            assert torch.equal(end.value, torch.zeros_like(noise))
    assert len(levels) == 4 and levels[-1] is None
    assert levels[:-1] == sorted(levels[:-1], reverse=True)
