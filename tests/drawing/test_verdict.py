"""The judge that asks the drawing network: on maps that are known, and on every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.drawing.sampler import draw, draw_latents
from engine.drawing.verdict import exclusivity, judge
from engine.families.loading import load_folder


def test_exclusivity_of_known_maps() -> None:
    apart = torch.tensor([[4.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 3.0]])
    assert exclusivity(apart).tolist() == [1, 1]
    equal = torch.ones(3, 9)
    assert torch.allclose(exclusivity(equal), torch.full((3,), 1 / 3))
    # The second one is attended to where the first is, and weakly: it is missing.
    missing = torch.tensor([[9.0, 9.0, 0.0], [1.0, 1.0, 0.0]])
    assert torch.allclose(exclusivity(missing), torch.tensor([0.9, 0.1]))
    assert exclusivity(torch.zeros(2, 4)).tolist() == [0, 0]


@pytest.mark.parametrize("folder", ["tiny_pipeline", "tiny_sdxl", "toy_family"])
def test_each_thing_has_a_score_of_its_own_and_judging_changes_nothing(
    folder: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    family = load_folder(path, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    family.text.add_tokens(family.text.initial_rows(["", ""], generator))
    prompt, tokens = "a photo of <asset0> and <asset1>", ["<asset1>", "<asset0>"]
    (latents,) = draw_latents(family, [prompt], seeds=[1], steps=2, guidance=2.0)
    scores = judge(family, latents, prompt, tokens, side=family.resolution)
    assert len(scores) == len(tokens) and all(0 < score < 1 for score in scores)
    assert scores[0] != scores[1], "each thing has its own"
    assert judge(family, latents, prompt, tokens[:1], side=family.resolution) == (1,), "alone"
    (other,) = draw_latents(family, [prompt], seeds=[2], steps=2, guidance=2.0)
    assert judge(family, other, prompt, tokens, side=family.resolution) != scores, "another picture"
    assert judge(family, latents, prompt, tokens[::-1], side=family.resolution) == scores[::-1]
    (after,) = draw(family, [prompt], seeds=[1], steps=2, guidance=2.0)
    assert (family.codec.decode(latents)[0] == after).all()
