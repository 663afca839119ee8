"""The Edit screen: regions and their prompts, what the host is asked for, before and after."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from textual.widgets import Input

from bas_tui.client import GenerationRequest
from bas_tui.tui.compose.drawing_queue import DrawingQueue
from bas_tui.tui.drawing.halfblock import Pixels, load_picture
from bas_tui.tui.edit import before_after
from bas_tui.tui.edit.screen import EditScreen
from bas_tui.tui.shell.keybar import KeyBar
from engine.models.device_guess import Device
from engine.results.pictures import save_generated
from engine.runs.events import GenerationEnded, PictureSaved
from engine.runs.folder import RunDir
from engine.scenes.mask_ops import mask_digest
from tests.tui.pilots import app_of, make_app, message_of, screen_text, until
from tests.tui.test_compose_screen import make_run
from tests.tui.test_snapshots import check


def write_photo(path: Path) -> np.ndarray:
    """A photo that is shown smaller than it is, and is no square."""
    pixels = np.full((900, 1400, 3), 70, np.uint8)
    pixels[:, 700:] = 160
    Image.fromarray(pixels).save(path)
    return pixels


def drawn(run: RunDir, pixels: np.ndarray, seed: int, masks: str) -> Path:
    recipe = {"prompt": "a <teapot> | <penguin>", "seed": seed, "run": run.name, "with": "owl:0.5",
              "photo": "shelf", "masks": masks, "start": 0.1, "decoder_steps": 50}  # fmt: skip
    return save_generated(pixels, run.pictures, f"shelf-{seed}", recipe)


def _late(reading: threading.Event, read: threading.Event, path: Path) -> Pixels | None:
    reading.set()
    read.wait(20)
    return load_picture(path)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_a_photo_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    asked: list[GenerationRequest] = []
    monkeypatch.setattr(DrawingQueue, "_hand_in", lambda _queue, request: asked.append(request))
    monkeypatch.setattr(KeyBar, "show_rate", lambda _self, _text: None)
    monkeypatch.setattr("bas_tui.tui.edit.screen.guess_device", lambda: Device("cpu", "2 cores"))
    make_run("owl")
    run, photo = make_run("tea"), tmp_path / "shelf.png"
    before, other = write_photo(photo), tmp_path / "other.png"
    write_photo(other)
    app = make_app("edit", run="tea", photo=photo)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "no region yet" in screen_text(app), "the photo")
        screen = app.screen
        assert isinstance(screen, EditScreen)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "there is no region" in message_of(app), "what is missing")
        assert "<teapot> made of glass" in screen_text(app)
        await pilot.press("I")
        app_of(pilot).screen.query_one(Input).value = "owl:0.5"
        await pilot.press("enter")
        await until(pilot, lambda: "with owl (I)" in screen_text(app), "the other run")
        # A dab makes the first region; it is meant for the run's first thing, until that is said.
        await pilot.press("space", "w", "home", *"a ", "escape")
        await pilot.press("n", "ctrl+g")
        await until(pilot, lambda: "region 2 is empty" in message_of(app), "what is missing")
        corner = screen.canvas.region
        await pilot.mouse_down(offset=(corner.x + 4, corner.y + corner.height // 2))
        await pilot.mouse_up(offset=(corner.x + 4, corner.y + corner.height // 2))
        await pilot.press("less_than_sign")
        await pilot.press("Z", "Z")
        text = screen_text(app)
        assert "a <teapot>" in text and "<penguin>" in text and "keep < 0.1 >" in text
        assert "decoder < 50 >" in text
        # What undo takes back comes back with its prompt.
        await pilot.press("comma", "D")
        assert "a <teapot>" not in screen_text(app)
        await pilot.press("u", "ctrl+g")
        await until(pilot, lambda: len(asked) == 1, "the request")
        (request,) = asked
        assert request.edit is not None and not screen.unsaved()
        assert request.prompt == "a <teapot> | <penguin>" and request.count == 4
        assert (request.edit.photo, request.edit.start) == (photo, 0.1)
        assert request.edit.decoder_steps == 50
        assert [one.strength for one in request.additions.others] == [0.5]
        masks = [np.asarray(Image.open(region.mask)) > 0 for region in request.edit.regions]
        assert [mask.shape for mask in masks] == [(900, 1400)] * 2
        assert [region.mask.stem for region in request.edit.regions] == list(
            map(mask_digest, masks)
        )
        assert masks[0][450, 700] and not (masks[0] & masks[1]).any()
        command = screen.command_for(app_of(pilot).registry.by_id["edit.draw"])
        for words in (
            "'a <teapot>' '<penguin>'",
            str(request.edit.regions[1].mask),
            "--start 0.1",
            "--decoder-steps 50",
            "--with ",
            "owl:0.5",
        ):
            assert words in command

        after = before.copy()
        after[masks[0]] = 250
        path = drawn(run, after, 5, " ".join(map(mask_digest, masks)))
        saved = PictureSaved(request=request.request, index=0, path=str(path), seed=5)
        for event in (saved, GenerationEnded(request=request.request, outcome="cancelled")):
            screen.candidates.post_message(DrawingQueue.Drawn(request.request, event))
        await until(pilot, lambda: "1 finished" in message_of(app), "the end of the drawing")
        await until(pilot, lambda: screen.candidates.chosen is not None, "the candidate")
        await pilot.press("a")
        await until(pilot, lambda: screen.flip.flipped, "the candidate in the photo's place")
        shown = screen.canvas.instead
        assert shown is not None and shown.shape == (658, 1024, 3) and shown[329, 512, 0] == 250
        if size[0] == 80:
            check("edit-80x24", screen_text(app))
        # What it was drawn with comes back with it.
        await pilot.press("a", "I", "down", "enter")
        assert not screen.prompts.additions
        screen.action_reuse()
        assert screen.prompts.additions == request.additions and "decoder < 50 >" in text
        await pilot.press("a")
        await until(pilot, lambda: screen.flip.flipped, "the candidate in the photo's place")
        # Painting is never done on a picture that is not the one painted on.
        await pilot.press("shift+right", "space")
        assert not screen.flip.flipped and "not drawn" in screen_text(app)
        # A candidate that is read when another photo lies there already is not shown over it.
        reading, read = threading.Event(), threading.Event()
        with monkeypatch.context() as slow:
            slow.setattr(before_after, "load_picture", lambda path: _late(reading, read, path))
            await pilot.press("a")
            await until(pilot, reading.is_set, "the candidate being read")
            screen.open(photo=other)
            await until(pilot, lambda: "other.png" in screen_text(app), "the other photo")
            read.set()
            await app.workers.wait_for_complete()
        await pilot.pause()
        assert not screen.flip.flipped
        screen.open(photo=photo)
        await until(pilot, lambda: "shelf.png" in screen_text(app), "the photo")
        await pilot.press("t")
        await until(pilot, lambda: "shelf-5.png" in screen_text(app), "the candidate as the photo")
        assert screen.desk.document is not None and not screen.desk.document.concepts
        assert photo.read_bytes() and (np.asarray(Image.open(photo)) == before).all()
        # Without a word to be saved: what was painted comes back with its photo.
        assert not screen.unsaved()
        screen.open(photo=photo)
        await until(pilot, lambda: "are back" in message_of(app), "the regions of last time")
        text = screen_text(app)
        assert "a <teapot>" in text and "<penguin>" in text and "decoder < 50 >" in text
        assert screen.desk.document.mask(screen.canvas.current).any()
        await pilot.press("u")
        assert "no region yet" in screen_text(app)
