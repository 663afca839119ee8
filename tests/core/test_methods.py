"""Method presets are data on one recipe."""

from __future__ import annotations

import pytest

from engine.core.errors import UserError
from engine.core.methods import METHODS, method_settings
from engine.core.settings import build_config

RECIPE = {"phase1.steps": 10, "phase2.steps": 30, "phase2.learning_rate": 1e-4}


PARTS = {"data.compose": 0.5, "data.erase": True, "loss.latent_mask": "grown"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_the_same_number_of_steps(name: str) -> None:
    assert build_config(method_settings(name, RECIPE)).total_steps == 40
    config = build_config(method_settings(name, RECIPE | PARTS))
    assert config.total_steps == 40
    assert (config.data.compose > 0) is not config.data.cutouts


def test_baselines_and_ablations_differ_as_the_paper_says() -> None:
    configs = {name: build_config(method_settings(name, RECIPE)) for name in METHODS}
    ours = configs["break-a-scene"]
    assert (ours.phase1.steps, ours.phase2.steps) == (10, 30)
    assert configs["ti-m"].phase2.steps == 0
    assert configs["db-m"].phase1.steps == 0
    assert configs["cd-m"].phase2.train == "cross-attention"
    assert configs["cd-m"].phase2.learning_rate == pytest.approx(5e-4)
    for name in ("ti-m", "db-m", "cd-m"):
        assert configs[name].data.cutouts
        assert not configs[name].loss.masked
        assert configs[name].loss.attention_weight == 0
    assert not configs["no-masked-loss"].loss.masked
    assert configs["no-masked-loss"].loss.attention_weight == ours.loss.attention_weight
    assert configs["no-attention-loss"].loss.attention_weight == 0
    assert not configs["no-union-sampling"].data.union_sampling
    assert configs["no-phase1"].phase1.steps == 0


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="no method 'elite'") as caught:
        method_settings("elite", {})
    assert "break-a-scene" in caught.value.remedy
