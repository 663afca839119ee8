"""The segmenter host: a picture read once, answers in order, an end to what is not wanted."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from engine.hosts.segment import serve_segmenter
from engine.runs.events import Event, from_line
from engine.scenes.pixel_box import Box, Point
from engine.scenes.scene import load_scene
from engine.segments.candidates import iou
from engine.segments.contract import Click
from engine.segments.measure import deepest
from engine.segments.wire import Looking, MasksFound, Question
from tests.segments.test_embedded import SCENE


def answers(*lines: str) -> list[Event]:
    written = io.StringIO()
    assert serve_segmenter(io.StringIO("\n".join(lines)), written) == 0
    events = [from_line(line) for line in written.getvalue().splitlines()]
    return [event for event in events if event is not None]


def test_questions_about_one_picture(tmp_path: Path) -> None:
    scene = load_scene(SCENE)
    picture = tmp_path / "photo.npy"
    np.save(picture, scene.image)

    def line(request: str, **values: object) -> str:
        common = {"request": request, "picture": picture, "segmenter": "embedded"}
        return Question(**{**common, "ask": "at", **values}).line()  # type: ignore[arg-type]

    truth = scene.concepts[0].mask
    clicks = (Click(deepest(truth)), Click(Point(1.0, 1.0), adds=False))
    events = answers(
        line("a", clicks=clicks),
        line("b", box=Box(0, 0, 1, 1)),
        line("c", ask="named", words="teapot"),
        line("d", ask="everything"),
        json.dumps({"command": "cancel", "request": "d"}),
        json.dumps({"request": "e"}),
        line("f", picture=tmp_path / "gone.npy"),
    )
    assert [e.what for e in events if isinstance(e, Looking) and e.total == 0].count(
        "reading the photo"
    ) == 1
    ended = {event.request: event for event in events if isinstance(event, MasksFound)}
    assert list(ended) == list("abcdef")
    assert {key: event.outcome for key, event in ended.items()} == {
        "a": "finished", "b": "failed", "c": "failed", "d": "cancelled", "e": "failed",
        "f": "failed",
    }  # fmt: skip
    found = ended["a"].candidates()
    assert max(iou(candidate.mask, truth) for candidate in found) > 0.8
    for key, words in {"b": "too small", "c": "no words", "e": "incomplete", "f": "read"}.items():
        assert words in ended[key].message and ended[key].remedy
