"""The generation host on a tiny trained run: requests in, events and pictures out."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from engine.core.settings import build_config
from engine.drawing.sampler import draw
from engine.families.loading import load_family
from engine.hosts.draw import serve_generation
from engine.results.learned_model import LearnedModel, load_learned
from engine.runs.added_files import find_added
from engine.runs.events import (
    Event,
    GenerationEnded,
    GenerationStarted,
    GenerationStep,
    Notice,
    PictureSaved,
    from_line,
)
from engine.runs.folder import RunDir, edited_photo_file, region_file
from engine.runs.manifest import ConceptEntry, Manifest, write_manifest
from engine.runs.requests import ThingPlace
from engine.scenes.mask_ops import mask_digest, picture_digest
from engine.scenes.scene import Scene, save_scene
from engine.training.loop import train
from tests.engine_fixtures import FAST, two_blocks
from tests.tiny import WIDTH

SETTINGS = FAST | {
    "phase1.steps": 1,
    "phase2.steps": 1,
    "sampling.steps": 3,
    "sampling.missing_below": 50,
    "loss.prior_weight": 0,
}


@pytest.fixture
def run(tiny_pipeline: Path, scene: Scene, tmp_path: Path) -> RunDir:
    """A finished run of two steps."""
    import torch

    run = RunDir(tmp_path / "home" / "runs" / "tiny")
    loaded = load_family(str(tiny_pipeline), device=torch.device("cpu"), report=lambda _event: None)
    entries = tuple(
        ConceptEntry(token=f"<asset{index}>", name=concept.name, initializer="")
        for index, concept in enumerate(scene.concepts)
    )
    manifest = Manifest(
        name="tiny", created=1.0, base=str(tiny_pipeline), scene_source="", concepts=entries,
        settings=SETTINGS,
    )  # fmt: skip
    write_manifest(run, manifest)
    for _ in train(
        loaded.family, scene, build_config(SETTINGS), run=run, base=str(tiny_pipeline),
        base_hash=loaded.base_hash,
    ):  # fmt: skip
        pass
    return run


def ask(*requests: dict[str, Any]) -> list[Event]:
    """The host's events for these lines."""
    lines = io.StringIO("".join(json.dumps(request) + "\n" for request in requests))
    written = io.StringIO()
    assert serve_generation(lines, written) == 0
    events = [from_line(line) for line in written.getvalue().splitlines()]
    return [event for event in events if event is not None]


def of(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_an_idle_host_holds_no_model(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[Any]] = []

    def load(*args: Any, **kwargs: Any) -> LearnedModel:
        model = load_learned(*args, **kwargs)
        held.append(weakref.ref(model.family))
        return model

    monkeypatch.setattr("engine.hosts.draw.load_learned", load)
    monkeypatch.setattr("engine.hosts.request_lines.IDLE_SECONDS", 0.05)
    request = {"run": str(run.path), "prompt": "<asset0>", "out": str(tmp_path), "steps": 1}
    reading, writing = os.pipe()
    events = io.StringIO()
    with os.fdopen(reading) as lines, os.fdopen(writing, "w", buffering=1) as requests:
        host = threading.Thread(target=serve_generation, args=(lines, events))
        host.start()
        for name in ("1", "2"):
            print(json.dumps(request | {"request": name}), file=requests)
            deadline = time.monotonic() + 120
            while len(held) < int(name) or held[-1]() is not None:
                assert time.monotonic() < deadline, f"the model of request {name} is still held"
                time.sleep(0.02)
        requests.close()
        host.join()
    assert events.getvalue().count('"outcome":"finished"') == 2


def test_pictures_carry_their_recipe(run: RunDir, tmp_path: Path) -> None:
    ink = tmp_path / "ink.safetensors"
    save_file({"emb_params": np.zeros((1, WIDTH), np.float32)}, ink)
    request = {
        "request": "1", "run": str(run.path), "prompt": "<teapot> and <asset1> in snow",
        "seed": 7, "count": 2, "out": str(tmp_path / "out"), "negative": "blue",
        "step_previews": True, "additions": [[], [[str(ink), 1.0, "ink"]], []],
    }  # fmt: skip
    events = ask(request)
    started = of(events, GenerationStarted)[0]
    assert (started.seed, started.count, started.steps) == (7, 2, 3)
    pictures = of(events, PictureSaved)
    assert [picture.seed for picture in pictures] == [7, 8]
    opened = [Image.open(picture.path) for picture in pictures]
    texts = [getattr(picture, "text") for picture in opened]  # noqa: B009 - PNG files have it
    assert texts[0]["prompt"] == "<teapot> and <asset1> in snow"
    assert [text["seed"] for text in texts] == ["7", "8"]
    assert texts[0]["negative"] == "blue"
    assert started.opening == texts[0]["opening"] == "a photo of"
    assert texts[0]["embedding"] == "ink=ink.safetensors:1"
    assert find_added("ink.safetensors", tmp_path / "out") == ink
    assert {"run", "base", "steps", "guidance", "software"} <= texts[0].keys()
    ended = of(events, GenerationEnded)[0]
    assert ended.outcome == "finished"
    assert Image.open(ended.sheet).width > opened[0].width
    assert len(of(events, GenerationStep)) == 6
    assert opened[0].tobytes() != opened[1].tobytes()


def test_equal_seeds_draw_equal_pictures_beside_any_neighbour(run: RunDir, tmp_path: Path) -> None:
    common = {"run": str(run.path), "prompt": "a <asset0>", "out": str(tmp_path)}
    events = ask(
        common | {"request": "a", "seed": 5, "count": 2},
        common | {"request": "b", "seed": 6, "count": 1},
    )
    first, second, alone = (Image.open(event.path).tobytes() for event in of(events, PictureSaved))
    assert second == alone
    assert first != second


def test_a_prompt_that_begins_with_a_token_is_read_as_in_training(
    run: RunDir, tmp_path: Path
) -> None:
    common = {"run": str(run.path), "out": str(tmp_path), "seed": 5, "count": 1}
    prompts = ("<teapot> in snow", "a photo of <asset0> in snow", "a painting of <asset0> in snow")
    events = ask(*(common | {"request": p, "prompt": p} for p in prompts))
    openings = [event.opening for event in of(events, GenerationStarted)]
    assert openings == ["a photo of", "", ""]
    bare, photo, painting = (Image.open(event.path).tobytes() for event in of(events, PictureSaved))
    assert bare == photo != painting


def test_a_batch_draws_the_pictures_that_each_seed_draws_alone(tiny_pipeline: Path) -> None:
    import torch

    loaded = load_family(str(tiny_pipeline), device=torch.device("cpu"), report=lambda _event: None)
    prompts, seen = ["a cat", "a dog in snow", "a cat"], []

    def drawn(batch: int) -> np.ndarray:
        made = draw(
            loaded.family,
            prompts, seeds=[3, 4, 5], steps=2, guidance=3.0, negative="blue", batch=batch,
            on_step=lambda done: seen.append((done.picture, done.step, len(done.latents))),
        )  # fmt: skip
        return np.stack(list(made)).astype(int)

    alone = drawn(1)
    seen.clear()
    assert np.abs(drawn(2) - alone).max() <= 1
    assert seen == [(0, 1, 1), (1, 1, 1), (0, 2, 1), (1, 2, 1), (2, 1, 1), (2, 2, 1)]


def test_complete_pictures_are_picked_and_the_scene_is_varied(run: RunDir, tmp_path: Path) -> None:
    scene = tmp_path / "wide.png"
    Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(scene)
    common = {"run": str(run.path), "prompt": "<teapot> and <penguin>", "seed": 3, "count": 3}
    events = ask(
        common | {"request": "all", "out": str(tmp_path / "all")},
        common | {"request": "pick", "out": str(tmp_path / "pick"), "pick": 2},
        common | {"request": "one", "out": str(tmp_path), "prompt": "<teapot> <teapot>", "pick": 1},
        common | {"request": "four", "out": str(tmp_path), "pick": 4},
        common
        | {"request": "vary", "out": str(tmp_path / "vary"), "picture": str(scene), "noise": 0.5},
    )
    save_scene(two_blocks(), run.scene)
    owl = [{"token": "<owl>", "x": 0, "y": 1}]
    placed = ask(
        common
        | {"request": "put", "out": str(tmp_path / "put"), "count": 1, "noise": 0.75,
           "places": [{"token": "<penguin>", "x": 0.2, "y": 0.5}]},
        common | {"request": "no", "out": str(tmp_path), "places": owl},
        common
        | {"request": "new", "out": str(tmp_path / "new"), "count": 2, "noise": 0.75,
           "arrange": True},
    )  # fmt: skip
    outcomes = [event.outcome for event in of(placed, GenerationEnded)]
    assert outcomes == ["finished", "failed", "finished"]
    # Each picture tells its own places, and with them it is drawn again.
    _, first, second = (Path(event.path) for event in of(placed, PictureSaved))
    told = [getattr(Image.open(path), "text") for path in (first, second)]  # noqa: B009
    assert told[0]["place"] != told[1]["place"] and told[0]["noise"] == "0.75"
    places = [vars(ThingPlace.parse(text)) for text in told[1]["place"].split()]
    assert {place["token"] for place in places} == {"<teapot>", "<penguin>"}
    again = ask(
        common
        | {"request": "again", "out": str(tmp_path / "again"), "count": 1, "noise": 0.75,
           "seed": int(told[1]["seed"]), "places": places},
    )  # fmt: skip
    (event,) = of(again, PictureSaved)
    assert (np.asarray(Image.open(event.path)) == np.asarray(Image.open(second))).all()
    assert any("other places" in event.message for event in of(placed, Notice))
    saved: dict[str, list[PictureSaved]] = {}
    for event in of(events, PictureSaved):
        saved.setdefault(event.request, []).append(event)
    ranked = sorted(saved["all"], key=lambda event: -event.score)
    assert [event.seed for event in saved["all"]] == [3, 4, 5]
    assert [(e.seed, e.score) for e in saved["pick"]] == [(e.seed, e.score) for e in ranked[:2]]
    assert saved.keys() == {"all", "pick", "vary"}
    kept = {Path(event.path) for event in saved["pick"]}
    ended = {event.request: event for event in of(events, GenerationEnded)}
    assert set((tmp_path / "pick").iterdir()) == kept | {Path(ended["pick"].sheet)}
    # The sheet still shows all of them, the best first, each with what is missing below it: all
    # that a network of random weights has drawn.
    sheet = np.asarray(Image.open(ended["pick"].sheet))
    assert (sheet[:64, :64] == np.asarray(Image.open(ranked[0].path))).all()
    assert (sheet[64:84, :64] < 99).any() and sheet.shape[0] == 2 * 84 + 4
    assert {event.verdict for event in saved["all"]} == {"0 of 2, teapot and penguin missing"}
    told = getattr(Image.open(ranked[0].path), "text")  # noqa: B009 - PNG files have it
    assert (told["verdict"], float(told["score"])) == (
        ranked[0].verdict, pytest.approx(ranked[0].score, abs=1e-3)
    )  # fmt: skip
    assert "name two or more" in ended["one"].remedy
    assert "pick 4 of 3" in ended["four"].message
    # Half of the noise leaves two of three steps to do; a noisier start leaves less of the photo.
    steps = [event.step for event in of(events, GenerationStep) if event.request == "vary"]
    assert steps == [1, 2] * 3
    assert (
        getattr(Image.open(saved["vary"][0].path), "text")["noise"] == "0.5"  # noqa: B009
    )


def test_an_edited_photo_keeps_what_is_outside(run: RunDir, tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (90, 140, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "Shelf 1.png")
    boxes = [np.s_[5:45, 10:60], np.s_[50:80, 70:130]]
    regions, allowed = [], np.zeros((90, 140), bool)
    for index, box in enumerate(boxes):
        mask = np.zeros((90, 140), bool)
        mask[box] = True
        allowed |= mask
        Image.fromarray(mask).save(tmp_path / f"r{index}.png")
        regions.append(
            {"mask": str(tmp_path / f"r{index}.png"), "prompt": ["<teapot>", "a <asset1>"][index]}
        )
    edit = {"photo": str(tmp_path / "Shelf 1.png"), "regions": regions, "start": 0.25}
    out = tmp_path / "out"
    common = {"run": str(run.path), "out": str(out), "seed": 4, "edit": edit}
    # What a picture's own command names.
    photo_file = edited_photo_file(out, "Shelf 1", picture_digest(photo))
    digests = [mask_digest(np.asarray(Image.open(region["mask"]))) for region in regions]
    kept = [
        region | {"mask": str(region_file(out, digest))}
        for region, digest in zip(regions, digests, strict=True)
    ]
    again = edit | {"photo": str(photo_file), "regions": kept, "decoder_steps": 2}
    events = ask(
        common
        | {"request": "a", "count": 2, "step_previews": True, "edit": edit | {"decoder_steps": 2}},
        common | {"request": "again", "seed": 5, "edit": again},
        common | {"request": "b", "edit": edit | {"regions": []}},
        common | {"request": "c", "edit": edit | {"photo": str(tmp_path / "r9.png")}},
        common | {"request": "d", "count": 8},
        {"command": "cancel", "request": "d"},
    )
    ended = {event.request: event for event in of(events, GenerationEnded)}
    assert ended["again"].outcome == "finished"
    assert [ended[name].outcome for name in "abcd"] == ["finished", "failed", "failed", "cancelled"]
    assert "0 regions" in ended["b"].message
    assert "no image" in ended["c"].message
    saved = of(events, PictureSaved)
    assert [Path(event.path).name for event in saved] == [
        "shelf-1-teapot-a-asset1-4.png", "shelf-1-teapot-a-asset1-5.png",
        "shelf-1-teapot-a-asset1-5-2.png",
    ]  # fmt: skip
    # The same to the last bit, in the recipe too.
    assert Path(saved[1].path).read_bytes() == Path(saved[2].path).read_bytes()
    for event in saved:
        picture = Image.open(event.path)
        changed = (np.asarray(picture) != photo).any(axis=2)
        assert not changed[~allowed].any()
        assert all(changed[box].any() for box in boxes)
        text = getattr(picture, "text")  # noqa: B009 - PNG files have it
        assert text["prompt"] == "<teapot> | a <asset1>"
        assert text["photo"] == "Shelf 1" and text["decoder_steps"] == "2"
        assert text["masks"].split() == digests
    steps = [(event.step, event.steps) for event in of(events, GenerationStep)]
    assert steps == [(step, 10) for step in range(1, 11)] * 3
    # The photo stands first on the sheet; what was cancelled left no file, whole or half.
    assert Image.open(ended["a"].sheet).height > 90
    assert {path.name for path in out.iterdir()} == {
        *(Path(event.path).name for event in saved),
        *(Path(ended[name].sheet).name for name in ("a", "again")), "photos", "regions",
    }  # fmt: skip
    assert len(list((out / "regions").iterdir())) == 2
    assert (np.asarray(Image.open(photo_file)) == photo).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "<asset7> alone"}, "unknown token <asset7>"),
        ({"prompt": "   "}, "prompt is empty"),
        ({"count": 0}, "0 pictures"),
        ({"steps": 0}, "0 steps"),
        ({"run": "/nowhere"}, "no readable run folder"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_bad_request_ends_in_one_event(
    run: RunDir, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    request = {"request": "1", "run": str(run.path), "prompt": "a", "out": str(tmp_path / "none")}
    events = ask(request | change)
    ended = of(events, GenerationEnded)[0]
    assert ended.outcome == "failed"
    assert words in ended.message
    assert ended.remedy
    assert not (tmp_path / "none").exists()


def test_a_cancelled_request_makes_room_for_the_next(run: RunDir, tmp_path: Path) -> None:
    common = {"run": str(run.path), "prompt": "a <asset0>", "out": str(tmp_path)}
    # The reader is ahead of the painter, so the cancel is known before the first step.
    events = ask(
        common | {"request": "a", "count": 8},
        {"command": "cancel", "request": "a"},
        common | {"request": "b"},
    )
    outcomes = {event.request: event.outcome for event in of(events, GenerationEnded)}
    assert outcomes == {"a": "cancelled", "b": "finished"}


def test_a_long_prompt_is_told(run: RunDir, tmp_path: Path) -> None:
    prompt = "a <asset0> " + "and a cat " * 30
    events = ask({"request": "1", "run": str(run.path), "prompt": prompt, "out": str(tmp_path)})
    warnings = [event for event in of(events, Notice) if event.level == "warning"]
    assert len(warnings) == 1
    assert "tokens" in warnings[0].message


def test_an_untrained_run_says_so(run: RunDir, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(run.concepts)
    request = {"request": "1", "run": str(run.path), "prompt": "a", "out": str(tmp_path)}
    ended = of(ask(request), GenerationEnded)[0]
    assert "no concepts yet" in ended.message


def test_the_family_is_loaded_once(run: RunDir, tmp_path: Path) -> None:
    common = {"run": str(run.path), "prompt": "a <asset0>", "out": str(tmp_path)}
    events = ask(common | {"request": "a"}, common | {"request": "b"})
    loads = [event for event in events if event.kind == "progress"]
    first_end = next(i for i, event in enumerate(events) if isinstance(event, GenerationEnded))
    assert loads
    assert all(events.index(event) < first_end for event in loads)
