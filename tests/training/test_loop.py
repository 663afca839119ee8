"""The loop on a tiny real model: algebra of resuming, previews, stops, batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.adapters.full import FullChange
from engine.core.errors import TrainingError, UserError
from engine.core.method_config import DataConfig
from engine.core.settings import build_config
from engine.drawing.sampler import draw
from engine.families.devices import make_accelerator
from engine.families.stable_diffusion import StableDiffusion
from engine.results.concepts import load_concepts
from engine.runs.commands import Command, CommandQueue
from engine.runs.events import (
    AttentionMaps,
    CheckpointSaved,
    Event,
    Paused,
    PhaseStarted,
    PreviewSaved,
    Progress,
    Resumed,
    RunEnded,
    RunStarted,
    SettingChanged,
    StepDone,
)
from engine.runs.folder import RunDir
from engine.scenes.scene import Scene
from engine.training.batches import Batch, DrawnBatch, Prompts, draw_batch
from engine.training.loop import train
from engine.training.optimizer_step import OptimizerStep
from engine.training.phases import phase_parameters, select_parameters
from engine.training.pictures import TrainingPictures
from engine.training.preparation import encode_scene
from engine.training.step import TrainingStep
from tests.engine_fixtures import FAST

Load = Callable[[], StableDiffusion]


def losses(events: list[Event]) -> list[tuple[int, float, float, float, float]]:
    return [
        (event.step, event.loss, event.masked, event.attention, event.grad_norm)
        for event in events
        if isinstance(event, StepDone)
    ]


def run_all(
    family: StableDiffusion, scene: Scene, settings: dict[str, Any], **options: Any
) -> list[Event]:
    return list(train(family, scene, build_config(FAST, settings), **options))


def weights(family: StableDiffusion) -> dict[str, torch.Tensor]:
    rows = family.text.embeddings()[0]
    named = {name: value.detach().clone() for name, value in family.targets.weights().items()}
    return named | {"rows": rows.placeholder_rows.detach().clone(), "words": rows.word_rows.clone()}


def test_two_phases_train_what_they_should(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    before = {name: value.detach().clone() for name, value in family.targets.weights().items()}
    iterator = train(family, scene, build_config(FAST, {"phase1.steps": 2, "phase2.steps": 2}))
    events: list[Event] = []
    rows = torch.empty(0)
    for event in iterator:
        events.append(event)
        if isinstance(event, PhaseStarted) and event.phase == 1:
            rows = family.text.embeddings()[0].placeholder_rows.detach().clone()
        if isinstance(event, StepDone) and event.step == 2:
            assert not torch.equal(rows, family.text.embeddings()[0].placeholder_rows)
            assert all(torch.equal(before[name], p) for name, p in family.targets.weights().items())
    assert isinstance(events[0], RunStarted)
    assert [plan.number for plan in events[0].phases] == [1, 2]
    assert events[-1] == RunEnded(step=4, outcome="finished")
    moved = [
        name for name, p in family.targets.weights().items() if not torch.equal(before[name], p)
    ]
    assert any(name.startswith("unet.") for name in moved)
    assert any(name.startswith("text_encoder.") for name in moved)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.prior > 0 for event in steps] == [False, False, True, True]


def test_equal_seeds_give_equal_runs(fresh_family: Load, scene: Scene) -> None:
    settings = {"phase1.steps": 2, "phase2.steps": 2, "seed": 5}
    first = losses(run_all(fresh_family(), scene, settings))
    assert first == losses(run_all(fresh_family(), scene, settings))
    assert first != losses(run_all(fresh_family(), scene, settings | {"seed": 6}))


@pytest.mark.parametrize(("phase1", "phase2", "stop"), [(4, 0, 2), (0, 4, 2), (2, 2, 2), (3, 3, 1)])
@pytest.mark.parametrize("batch", [1, 2])
def test_four_steps_are_two_resumed_two(
    fresh_family: Load,
    scene: Scene,
    tmp_path: Path,
    phase1: int,
    phase2: int,
    stop: int,
    batch: int,
) -> None:
    """Bitwise, in phase 1, in phase 2, and across the switch."""
    settings = {
        "phase1.steps": phase1, "phase2.steps": phase2, "batch_size": batch,
        "checkpoint_every": stop, "data.crop": 0.5, "data.variants": 3,
    }  # fmt: skip
    whole_family = fresh_family()
    whole = losses(run_all(whole_family, scene, settings))

    run = RunDir(tmp_path / "run")
    commands = CommandQueue()
    first: list[Event] = []
    config = build_config(FAST, settings)
    for event in train(fresh_family(), scene, config, run=run, commands=commands):
        first.append(event)
        if isinstance(event, StepDone) and event.step == stop:
            commands.post(Command(word="stop"))
    assert first[-1] == RunEnded(step=stop, outcome="stopped")

    resumed_family = fresh_family()
    second = run_all(resumed_family, scene, settings, run=run)
    assert isinstance(second[0], RunStarted)
    assert second[0].step == stop
    assert losses(first) + losses(second) == whole
    expected = weights(whole_family)
    for name, value in weights(resumed_family).items():
        assert torch.equal(value, expected[name]), name


def test_previews_and_checkpoints_change_nothing(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    settings = {"phase1.steps": 2, "phase2.steps": 2}
    plain = losses(run_all(fresh_family(), scene, settings))
    run = RunDir(tmp_path / "run")
    watched = run_all(
        fresh_family(), scene,
        settings | {"preview.every": 1, "checkpoint_every": 1, "preview.attention_every": 1,
                    "checkpoint_keep_after": True},
        run=run,
    )  # fmt: skip
    assert losses(watched) == plain
    previews = [event for event in watched if isinstance(event, PreviewSaved)]
    assert [event.step for event in previews] == [1, 2, 3, 4]
    assert all((run.path / event.path).is_file() for event in previews)
    kept = sorted(path.name for path in run.checkpoints.iterdir())
    assert kept == ["step-000003", "step-000004"]
    maps = [event for event in watched if isinstance(event, AttentionMaps)]
    assert [event.step for event in maps] == [1, 2, 3, 4]
    assert all(0 <= one.leak <= 1 and 0 <= one.iou <= 1 for event in maps for one in event.maps)


def test_concepts_bring_the_trained_model_back(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    trained = fresh_family()
    run_all(trained, scene, {"phase1.steps": 1, "phase2.steps": 2}, run=run, base_hash="h")
    loaded = fresh_family()
    load_concepts(run.concepts, loaded, base_hash="h")
    expected = weights(trained)
    for name, value in weights(loaded).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=2e-6)
    picture = next(draw(loaded, ["a <asset0>"], seeds=[1], steps=2, guidance=3.0))
    same = next(draw(trained, ["a <asset0>"], seeds=[1], steps=2, guidance=3.0))
    assert picture.shape == (64, 64, 3)
    assert abs(picture.astype(int) - same.astype(int)).max() <= 2
    with pytest.raises(UserError, match="another"):
        load_concepts(run.concepts, fresh_family(), base_hash="other")


def test_accumulation_equals_a_larger_batch(fresh_family: Load, scene: Scene) -> None:
    """Two micro-batches of one move the weights as one batch of the same two samples does."""
    moved: list[dict[str, torch.Tensor]] = []
    for micro_steps in (1, 2):
        family = fresh_family()
        run_all(family, scene, {"phase1.steps": 1, "phase2.steps": 0})
        pictures = result_of(encode_scene(family, scene, DataConfig(), grid=16, seed=0))
        prompts = Prompts(family, "a photo of", ["<asset0>", "<asset1>"])
        generator = torch.Generator().manual_seed(1)
        both, rows = draw_batch(
            pictures, prompts, family.noise, generator, size=2, crop=0, flip=0.5, union=True
        )
        halves = [Batch(*(tensor[row : row + 1] for tensor in both)) for row in (0, 1)]
        queue = [both] if micro_steps == 1 else halves
        parameters = phase_parameters(family, FullChange(family, "all"), 2)
        select_parameters(family, parameters)
        with family.maps.recorder(family.maps.layers(64, 16), plain_attention=True) as recorder:
            step = TrainingStep(
                family, recorder, masked=True, divide_by_area=False,
                attention_weight=0.5, prior_weight=0.0,
            )  # fmt: skip
            OptimizerStep(
                make_accelerator("cpu", "fp32", micro_steps),
                step,
                torch.optim.SGD(list(parameters.values()), lr=0.1),
                list(parameters.values()),
                clip_norm=0,
                draw=iter([DrawnBatch(one, rows) for one in queue]).__next__,
                prior_rows=0,
            ).take(1)
        moved.append(weights(family))
    for name, value in moved[0].items():
        torch.testing.assert_close(moved[1][name], value, rtol=0, atol=1e-6)


def test_a_scene_that_is_never_mirrored_is_encoded_once(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    once, twice = (
        result_of(encode_scene(family, scene, DataConfig(flip=flip), grid=16, seed=0)).scene
        for flip in (0.0, 0.5)
    )
    assert once.mirrored is None
    assert twice.mirrored is not None
    assert torch.equal(once.plain.mean_CHW, twice.plain.mean_CHW)


def result_of(events: Generator[Event | None, None, TrainingPictures]) -> TrainingPictures:
    """What a generator of events returns at its end."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def test_unequal_subsets_fit_in_one_batch(fresh_family: Load, scene: Scene) -> None:
    """The released script crashes here (method.md, trap 3)."""
    events = run_all(fresh_family(), scene, {"phase1.steps": 6, "phase2.steps": 0, "batch_size": 3})
    assert all(math.isfinite(loss) for _, loss, *_ in losses(events))


@pytest.mark.parametrize("part", ["unet", "cross-attention", "none"])
def test_parts_of_phase_two(fresh_family: Load, scene: Scene, part: str) -> None:
    family = fresh_family()
    before = {name: value.detach().clone() for name, value in family.targets.weights().items()}
    run_all(family, scene, {"phase1.steps": 0, "phase2.steps": 1, "phase2.train": part})
    moved = {
        name for name, p in family.targets.weights().items() if not torch.equal(before[name], p)
    }
    assert moved <= set(family.targets.part(part))
    assert bool(moved) == (part != "none")


def test_gradient_checkpointing_keeps_the_losses(fresh_family: Load, scene: Scene) -> None:
    """In the released script it silently removes the attention loss's gradient."""
    settings = {"phase1.steps": 1, "phase2.steps": 2, "loss.attention_weight": 1.0}
    plain = losses(run_all(fresh_family(), scene, settings))
    family = fresh_family()
    saved = losses(run_all(family, scene, settings | {"gradient_checkpointing": True}))
    assert family.unet.is_gradient_checkpointing
    for one, other in zip(saved, plain, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_cutouts_hide_the_scene(fresh_family: Load, scene: Scene) -> None:
    events = run_all(
        fresh_family(), scene, {"phase1.steps": 2, "phase2.steps": 0, "data.cutouts": True}
    )
    assert len(losses(events)) == 2


def test_pause_and_resume(fresh_family: Load, scene: Scene) -> None:
    commands = CommandQueue()
    commands.post(Command(word="pause"))
    kinds: list[type[Event]] = []
    config = build_config(FAST, {"phase1.steps": 1, "phase2.steps": 0})
    for event in train(fresh_family(), scene, config, commands=commands):
        kinds.append(type(event))
        if isinstance(event, Paused):
            commands.post(Command(word="set", key="preview.every", value=7))
            commands.post(Command(word="resume"))
        if isinstance(event, SettingChanged):
            assert (event.key, event.value) == ("preview.every", 7)
    order = [kinds.index(kind) for kind in (Paused, SettingChanged, Resumed, StepDone)]
    assert order == sorted(order), "every viewer learns of a changed setting"


def test_a_loss_that_is_no_number_stops_before_the_update(fresh_family: Load, scene: Scene) -> None:
    family = fresh_family()
    with torch.no_grad():
        next(iter(family.unet.parameters())).fill_(math.nan)
    rows: list[torch.Tensor] = []
    with pytest.raises(TrainingError, match="not a number in step 1") as failed:
        for event in train(family, scene, build_config(FAST, {"phase2.steps": 0})):
            if isinstance(event, PhaseStarted):
                rows.append(family.text.embeddings()[0].placeholder_rows.detach().clone())
    assert torch.equal(rows[0], family.text.embeddings()[0].placeholder_rows)
    assert "phase1.learning_rate=" in failed.value.remedy


def test_a_grid_that_the_model_lacks(fresh_family: Load, scene: Scene) -> None:
    with pytest.raises(UserError, match="12x12"):
        run_all(fresh_family(), scene, {"loss.attention_grid": 12})


def test_the_whole_embedding_clip_is_only_for_clipping(fresh_family: Load, scene: Scene) -> None:
    """Where nothing is cut off it changes no step, nor does a word's gradient outlive its step."""
    settings = {
        "phase1.steps": 4, "phase2.steps": 1, "optimizer.clip_norm": 1e6, "loss.prior_weight": 0,
    }  # fmt: skip
    family = fresh_family()
    words = family.text.encoder.get_input_embeddings().weight.detach().clone()
    whole = run_all(family, scene, settings | {"optimizer.clip_whole_embedding": True})
    plain = run_all(fresh_family(), scene, settings)
    assert [step[:4] for step in losses(whole)] == [step[:4] for step in losses(plain)]
    norms = [step[4] for step in losses(whole)]
    alone = [step[4] for step in losses(plain)]
    assert all(a > b for a, b in zip(norms[:4], alone[:4], strict=True))
    assert norms[4] == pytest.approx(alone[4], rel=1e-6)
    ids = family.text.embeddings()[0].word_ids
    assert not torch.equal(family.text.embeddings()[0].word_rows, words[ids]), "phase 2 moves words"


def test_events_survive_the_wire(fresh_family: Load, scene: Scene) -> None:
    from engine.runs.events import from_line, to_line

    for event in run_all(fresh_family(), scene, {"phase1.steps": 5, "phase2.steps": 1}):
        again = from_line(to_line(event))
        assert again == dataclasses.replace(event)


def test_checkpoints_and_previews_follow_the_plan(
    fresh_family: Load, scene: Scene, tmp_path: Path
) -> None:
    run = RunDir(tmp_path / "run")
    settings = {"phase1.steps": 3, "phase2.steps": 2, "checkpoint_every": 2, "preview.every": 3}
    events = run_all(fresh_family(), scene, settings, run=run)
    saved = [event.step for event in events if isinstance(event, CheckpointSaved)]
    assert saved == [2, 3, 4]
    assert not run.checkpoints.exists(), "the concepts of a finished run are complete without"
    drawn = [event.step for event in events if isinstance(event, PreviewSaved)]
    assert drawn == [3, 5], "the last step is always drawn"


def test_a_stop_ends_the_preparation(fresh_family: Load, scene: Scene, bas_home: Path) -> None:
    commands = CommandQueue()
    events: list[Event] = []
    for event in train(fresh_family(), scene, build_config(FAST), commands=commands):
        events.append(event)
        if isinstance(event, Progress) and event.stage == "prior" and event.done == 1:
            commands.post(Command(word="preview"))
            commands.post(Command(word="stop"))
    assert events[-1] == RunEnded(step=0, outcome="stopped")
    assert not any(isinstance(event, StepDone) for event in events)
    assert len(list((bas_home / "cache" / "prior").rglob("*.safetensors"))) == 2 - 1


def test_maps_lie_in_the_scenes_frame() -> None:
    """Maps of mirrored rows are mirrored back, crops are left out."""
    import numpy as np

    from engine.runs.events import unpack_map
    from engine.runs.manifest import ConceptEntry
    from engine.training.batches import DrawnRow
    from engine.training.optimizer_step import StepResult
    from engine.training.step_events import attention_event

    maps = torch.rand(3, 1, 256)
    rows = (DrawnRow((0,), whole=False), DrawnRow((1,), mirrored=True), DrawnRow((2,)))
    result = StepResult(1, 1, 1, 0, 1, rows, maps, torch.ones(3, 1, 256))
    concepts = [ConceptEntry(token=f"<asset{k}>", name=f"n{k}", initializer="") for k in range(3)]
    event = attention_event(result, step=5, grid=16, concepts=concepts)
    assert [one.token for one in event.maps] == ["<asset1>", "<asset2>"]
    shown = [np.frombuffer(unpack_map(one.map), np.uint8).reshape(16, 16) for one in event.maps]
    scaled = (maps / maps.amax(-1, keepdim=True) * 255).round().to(torch.uint8).view(3, 16, 16)
    assert np.array_equal(shown[0], scaled[1].numpy()[:, ::-1])
    assert np.array_equal(shown[1], scaled[2].numpy())
