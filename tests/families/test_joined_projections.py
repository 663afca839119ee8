"""Joined projections compute what the layers compute; in double precision nothing hides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.adapters.lora import LowRankChange
from engine.families.contract import Family, Geometry
from engine.families.joined_projections import JoinedLayers
from engine.families.loading import load_folder

CPU = torch.device("cpu")
Result = dict[str, torch.Tensor]


@pytest.fixture(params=["tiny_pipeline", "tiny_sdxl"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def loaded(folder: Path) -> Family:
    family = load_folder(folder, device=CPU)
    for network in family.targets.networks.values():
        network.to(torch.float64)
    return family


def predicted(family: Family) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    noised = torch.randn(2, 4, 16, 16, generator=generator, dtype=torch.float64)
    text = family.text.encode(family.text.tokenize(["a photo of a cat", "the teapot in snow"]))
    geometry = torch.tensor([Geometry.whole(64)] * 2, dtype=torch.float64)
    return family.predict(noised, torch.tensor([3, 700]), text, geometry)


def outcome(family: Family, prepare: Callable[[Family], dict[str, nn.Parameter]]) -> Result:
    """The prediction and all gradients of one forward and backward pass, recorded maps included."""
    trained = prepare(family)
    layers = family.maps.layers(family.resolution, family.maps.default_grid(family.resolution))
    with family.maps.recorder(layers, plain_attention=False) as recorder:
        columns = torch.tensor([[1, 2], [3, 1]])
        with recorder.capture(columns) as maps:
            out = predicted(family)
        (out.square().mean() + sum(one.square().mean() for one in maps)).backward()
    found = {f"gradient of {name}": p.grad for name, p in trained.items()}
    assert found and all(gradient is not None for gradient in found.values())
    return {"out": out.detach(), **{k: g for k, g in found.items() if g is not None}}


def every_weight(family: Family) -> dict[str, nn.Parameter]:
    unused = ("final_layer_norm", "text_projection", "pooler", "post_layernorm")
    weights = {
        name: weight for name, weight in family.targets.weights().items()
        if not any(part in name for part in unused) and ".layers.1." not in name
    }  # fmt: skip
    for weight in weights.values():
        weight.requires_grad_(True)
    return weights


def low_rank(family: Family) -> dict[str, nn.Parameter]:
    layers = family.targets.layers("all", text_encoder=True)
    layers = {name: layer for name, layer in layers.items() if ".layers.1." not in name}
    change = LowRankChange.fresh(layers, 3, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for parameter in change.parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=generator).double() / 4
    change.begin()
    return change.parameters()


def called_alone(family: Family) -> None:
    """A hook that does nothing keeps a layer from being joined."""
    for network in family.targets.networks.values():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("prepare", [every_weight, low_rank])
@pytest.mark.parametrize("less", [False, True])
def test_equal_to_the_layers(folder: Path, prepare: Any, less: bool) -> None:
    joined, alone = loaded(folder), loaded(folder)
    called_alone(alone)
    if less:
        joined.checkpoint_activations()
    first, second = outcome(joined, prepare), outcome(alone, prepare)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.allclose(value, second[name], rtol=1e-9, atol=1e-12), name


def test_weights_stay_what_they_are(folder: Path) -> None:
    """Names, values and objects; moved ones are joined anew, changed ones are used as they are.

    What drawing has joined is trained as it is.
    """
    family, fresh = loaded(folder), loaded(folder)
    before = dict(family.targets.weights())
    with torch.inference_mode():
        drawn = predicted(family)
    attention, cross = attentions(family)[:2]
    query, key = attention.to_q.weight, attention.to_k.weight
    assert key.data_ptr() == query.data_ptr() + query.nbytes  # They were joined at all.
    assert torch.allclose(outcome(family, every_weight)["out"], drawn, rtol=1e-4, atol=1e-6)
    for name, weight in family.targets.weights().items():
        assert weight is before[name] and torch.equal(weight, fresh.targets.weights()[name])
    for network in family.targets.networks.values():
        network.float().double().zero_grad()
    with torch.no_grad():
        for one in (family, fresh):
            for name, weight in sorted(one.targets.weights().items()):
                weight.copy_((weight.float() * 1.5).double() + len(name) / 1000)
    called_alone(fresh)
    first, second = outcome(family, every_weight), outcome(fresh, every_weight)
    assert torch.allclose(first["out"], second["out"], rtol=1e-9, atol=1e-12)
    # A text that is not the last pass's.
    x, text = (torch.randn(1, 4, layer.in_features).double() for layer in (cross.to_q, cross.to_k))
    assert torch.allclose(cross(x, text), attentions(fresh)[1](x, text), rtol=1e-9, atol=1e-12)


def attentions(family: Family) -> list[Any]:
    return [m for m in family.targets.networks["unet"].modules() if hasattr(m, "to_q")]


def test_other_attention(folder: Path) -> None:
    """Encoders with another one; UNets with none that can be joined."""
    family = loaded(folder)
    usual = predicted(family)
    for encoder in family.text.encoders:
        encoder.set_attn_implementation("eager")  # type: ignore[operator]
    assert torch.allclose(predicted(family), usual, rtol=1e-4, atol=1e-6)
    assert JoinedLayers([])(usual) == ()
