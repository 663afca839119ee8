"""The judge that asks the drawing network: on an error that is known, and on every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.drawing.sampler import draw, draw_latents
from engine.drawing.verdict import presence, verdict
from engine.families.contract import Conditioning
from engine.families.loading import load_folder


@pytest.mark.parametrize("folder", ["tiny_pipeline", "tiny_sdxl", "toy_family"])
def test_each_thing_has_a_presence_of_its_own_and_judging_changes_nothing(
    folder: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    family = load_folder(path, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    family.text.add_tokens(family.text.initial_rows(["", ""], generator))
    prompt, side = "a photo of <asset0> and <asset1>", family.resolution
    without = ["a photo of <asset0> and ", "a photo of  and <asset1>"]
    (latents,) = draw_latents(family, [prompt], seeds=[1], steps=2, guidance=2.0)
    found = presence(family, latents, prompt, without, side=side)
    assert len(found) == 2 and found[0] != found[1], "each thing has its own"
    assert presence(family, latents, prompt, [prompt], side=side) == (0,), "nothing taken away"
    assert presence(family, latents, prompt, without[::-1], side=side) == found[::-1]
    (other,) = draw_latents(family, [prompt], seeds=[2], steps=2, guidance=2.0)
    assert presence(family, other, prompt, without, side=side) != found, "another picture"
    (after,) = draw(family, [prompt], seeds=[1], steps=2, guidance=2.0)
    assert (family.codec.decode(latents)[0] == after).all()


def test_presence_is_the_rise_of_the_error(
    tiny_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that is off by 1 with all the words, by 2 without a thing that is there."""
    family = load_folder(tiny_pipeline, device=torch.device("cpu"))
    off = {"all": 1.0, "no cup": 2.0, "no bell": 1.0}
    texts = {
        float(family.text.encode(family.text.tokenize([text])).states_BLD.sum()): text
        for text in off
    }
    latents = torch.zeros(1, 4, 8, 8)

    def predict(
        noised: torch.Tensor, levels: torch.Tensor, told: Conditioning, _geometry: torch.Tensor
    ) -> torch.Tensor:
        share = family.noise.add(latents, torch.ones(1, 1, 1, 1), levels)
        noise = noised / share[:, :1, :1, :1]
        target = family.noise.target(latents.expand_as(noise), noise, levels)
        return target + off[texts[float(told.states_BLD[:1].sum())]]

    monkeypatch.setattr(family, "predict", predict)
    found = presence(family, latents, "all", ["no cup", "no bell"], side=64)
    assert found == pytest.approx((3, 0), abs=1e-4)


def test_words() -> None:
    assert verdict({"cup": 0.4, "bell": 0.1}, 0.1) == "2 of 2"
    assert verdict({"cup": 0.4, "bell": -0.1, "cat": 0.0}, 0.1) == "1 of 3, bell and cat missing"
