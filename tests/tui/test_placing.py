"""Compose: things of the scene are put where pictures shall show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from textual.widgets import Input

from bas_tui import client
from bas_tui.tui.compose.drawing_queue import DrawingQueue
from bas_tui.tui.shell.picture_files import Recipe, read_picture
from engine.core.errors import UserError
from engine.results.pictures import save_generated
from engine.runs.added_files import keep_added
from engine.runs.requests import ThingPlace
from engine.scenes.checks import SceneConcept
from engine.scenes.scene import Scene, save_scene
from tests.tui.pilots import app_of, message_of, screen_text, until
from tests.tui.test_compose_screen import composing, make_run


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_things_are_placed_by_mouse_and_by_keys(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    # The run has a scene, and no weights.
    monkeypatch.setattr(client, "check_learned", lambda _run: None)
    asked: list[client.GenerationRequest] = []
    monkeypatch.setattr(DrawingQueue, "_hand_in", lambda _queue, request: asked.append(request))
    run = make_run("tea")
    left, right = np.zeros((2, 64, 64), bool)
    left[24:40, 8:24] = right[24:40, 40:56] = True
    image = np.full((64, 64, 3), 90, np.uint8)
    image[left], image[right] = (220, 20, 20), (20, 20, 220)
    concepts = (SceneConcept("teapot", left), SceneConcept("penguin", right))
    save_scene(Scene(image=image, concepts=concepts), run.scene)
    async with composing(run, size) as (pilot, screen):
        places = screen.wall.places
        await pilot.press("escape", "P")
        await until(pilot, lambda: "teapot 25,50" in screen_text(app_of(pilot)), "the canvas")
        assert "[x] place things" in screen_text(app_of(pilot))
        # The mouse drags the penguin from the right to the upper middle.
        view = places._view()
        assert view is not None
        across, down = view.dots

        def cell(x: float, y: float) -> tuple[int, int]:
            return (places.region.x + view.offset[0] + int(x * across),
                    places.region.y + view.offset[1] + int(y * down / 2))  # fmt: skip

        await pilot.mouse_down(offset=cell(0.75, 0.5))
        await pilot.hover(offset=cell(0.5, 0.3))
        await pilot.mouse_up(offset=cell(0.5, 0.3))
        spot = places.layout_now[1]
        assert abs(spot.x - 50) < 8 and abs(spot.y - 30) < 8
        # A drag is one step of undo, and so are keys that go on with the same.
        await pilot.press("u")
        assert places.layout_now[1].y == 50
        await pilot.press("ctrl+y", "tab", "left", "left", "plus", "D", "u", "u", "ctrl+z")
        assert places.layout_now[0].x == 25 and places.layout_now[1] == spot
        await pilot.press("U", "right", "U", "u", "u", "tab")
        assert places.layout_now[0].x == 25 and places.layout_now[1] == spot
        # By keys the teapot is moved against the edge, made larger, and swapped to the right.
        await pilot.press("tab", *["left"] * 20, "plus", "s", "less_than_sign")
        moved = places.layout_now[0]
        assert moved.width > 25 and moved.x > 84
        await pilot.press("S")
        assert {one.x for one in places.layout_now.values()} != {moved.x, spot.x}
        assert [one.token for one in places.chosen] in (
            ["<teapot>", "<penguin>"], ["<penguin>", "<teapot>"]
        )  # fmt: skip
        await pilot.press("u")
        await pilot.press("f2")
        await pilot.press("f5")
        assert places.layout_now[0] == moved, "the layout survives another screen"
        await pilot.press("g")
        await until(pilot, lambda: len(asked) == 1, "the request")
        request = asked[0]
        assert "not in the prompt" not in message_of(app_of(pilot))
        assert request.noise == 0.6 and [one.token for one in request.places] == [
            "<penguin>", "<teapot>",
        ]  # fmt: skip
        texts = [one.text for one in request.places]
        assert [ThingPlace.parse(text).text for text in texts] == texts
        options = screen.command_values()["options"]
        assert f" --place {texts[0]} --place {texts[1]} --loose 0.6" in options
        # What is left out is in no request; what a picture was drawn with comes back with it.
        await pilot.press("D")
        assert [one.token for one in places.chosen] == ["<penguin>"]
        screen.queue.current = None
        screen.prompts.prompt.value = "<asset0> in the snow"
        await pilot.press("g")
        told = "not in the prompt: <penguin> - name it or leave it out (D)"
        await until(pilot, lambda: told in message_of(app_of(pilot)), "what is not named")
        recipe = {"prompt": "<teapot>", "noise": 0.7, "place": " ".join(texts), "run": "tea"}
        path = save_generated(image, run.pictures, "placed", recipe)
        picture = read_picture(path)
        assert picture is not None
        assert f"--place {texts[0]} --place {texts[1]} --loose 0.7" in picture.command()
        await pilot.press("o", "P")
        assert not places.chosen and request.places
        screen._reuse(picture)
        assert [one.text for one in places.chosen] == texts and places.loose == 0.7
        screen.wall.take_over(Recipe(prompt="<owl>", places="owl=10,10", noise=0.7))
        assert len(places.chosen) == 2, "another run's layout leaves no empty scene"
        screen.wall.take_over(Recipe(prompt="<teapot>"))
        assert not places.active
        # Nothing is drawn from noise alone while places are wanted and not there yet; where they
        # will never be, it is said.
        (run.scene / "image.png").unlink()
        assert screen.runs.manifest is not None
        places.use(run, screen.runs.manifest)
        places.active = True
        with pytest.raises(UserError, match="still being read"):
            places.wanted()
        await until(pilot, lambda: places.problem is not None, "the end of the reading")
        assert not places.active
        await pilot.press("P")
        assert not places.active and "there is no image" in screen_text(app_of(pilot))


def test_a_request_says_its_places() -> None:
    assert ThingPlace.parse("teapot=75,60.5,30").text == "teapot=75,60.5,30"


async def test_other_files_and_runs_are_added_and_taken_out(tmp_path: Path) -> None:
    style, ink = tmp_path / "ep=1.safetensors", tmp_path / "ink.safetensors"
    save_file({"emb_params": np.zeros((2, 768), np.float32)}, ink)
    parts = ("down", "up")
    lora = {f"lora_unet_a.lora_{part}.weight": np.zeros((4, 4), np.float32) for part in parts}
    save_file(lora, style)
    make_run("owl")
    async with composing(make_run("tea")) as (pilot, screen):
        text = lambda: screen_text(app_of(pilot))  # noqa: E731
        for words in (f"{style}:0.7", str(ink), "owl:0.5"):
            await pilot.press("escape", "A")
            await until(pilot, lambda: "another file" in text(), "the dialog")
            app_of(pilot).screen.query_one(Input).value = words
            await pilot.press("enter")
            await until(pilot, lambda: app_of(pilot).screen is screen, "the end of the dialog")
        assert "with 3 others (A)" in text() and "<ink>" in text() and "teapot-2" in text()
        added = screen.prompts.additions
        assert (added.loras[0].strength, added.others[0].strength) == (0.7, 0.5)
        options = screen.command_values()["options"]
        assert f"--lora {style}:0.7 --embedding ink={ink} --with " in options
        await pilot.press("A")
        await until(pilot, lambda: "take out: LoRA ep=1.safetensors x0.7" in text(), "the list")
        app_of(pilot).screen.query_one(Input).value = f"{tmp_path}/none.safetensors"
        await pilot.press("enter")
        await until(pilot, lambda: "there is no file" in text(), "what is wrong")
        app_of(pilot).screen.query_one(Input).value = ""
        await pilot.press("down", "enter")
        await until(pilot, lambda: app_of(pilot).screen is screen, "the end of the dialog")
        left = screen.prompts.additions
        assert not left.loras and left.embeddings and left.others
        # A picture tells names alone: what it was drawn with comes back from where it lay then.
        run = screen.runs.run
        assert run is not None
        keep_added(added, run.pictures)
        recipe = {"prompt": "<ink>", "run": "tea", **added.told()}
        picture = read_picture(
            save_generated(np.zeros((8, 8, 3), np.uint8), run.pictures, "p", recipe)
        )
        assert picture is not None and f"--lora {style}:0.7" in picture.command()
        screen._reuse(picture)
        assert screen.prompts.additions == added and "and added files" in message_of(app_of(pilot))
        style.unlink()
        screen._reuse(picture)
        assert screen.prompts.additions == left
        assert "without ep=1.safetensors:0.7: A adds it" in message_of(app_of(pilot))
