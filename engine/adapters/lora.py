"""Low-rank adaptation (LoRA, arXiv 2106.09685) of linear and convolution layers by forward hooks.

Hooks leave the family as it is: names, checkpoints and full changes know nothing of it, recorded
attention and recomputed activations run through it, and strength is one number; 0 is the base
model, to the last bit. (PEFT wraps each layer and renames its weights to `base_layer`.)

Shape legend: R rank, I inputs, O outputs of a layer, h and w a convolution's kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from engine.adapters.full import other_change
from engine.adapters.masters import Masters, in_half
from engine.core.errors import BasError
from engine.families.contract import Family
from engine.families.low_rank import LowRankTerm
from engine.families.placement import place
from engine.families.unet_targets import plain_name
from engine.files.weights_io import load_tensors, save_tensors

FILE = "lora.safetensors"
A, B = ".lora_A.weight", ".lora_B.weight"
"""Endings of the names in the file: PEFT's, as diffusers reads and writes them."""


class LowRankChange:
    """`W + B A` for every adapted layer; `A` (R, I[, h, w]), `B` (O, R[, 1, 1]).

    The scale alpha / rank is 1, so that no reader can get it wrong.
    """

    trains_words = False

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        """`layers`: the layers to adapt, by name (`Targets.layers`)."""
        self._layers = dict(layers)
        self._factors: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        self._handles: list[RemovableHandle] = []
        self._masters: Masters | None = None
        self.strength = 1.0

    @classmethod
    def fresh(
        cls, layers: Mapping[str, nn.Module], rank: int, generator: torch.Generator
    ) -> LowRankChange:
        """No change yet: `A` random with spread 1 / rank, `B` zero. Ranks are cut to the layer."""
        adapter = cls(layers)
        for name, layer in layers.items():
            weight: Any = layer.weight
            used = min(rank, weight[0].numel(), weight.shape[0])
            # In fp32 whatever the frozen weights are: steps of 1e-4 vanish in bf16.
            a = torch.randn((used, *weight.shape[1:]), generator=generator) / used
            b = torch.zeros(weight.shape[0], used, *(1,) * (weight.dim() - 2))
            adapter._factors[name] = _parameters(a, b, weight.device)
        return adapter

    @classmethod
    def load(cls, file: Path, family: Family) -> LowRankChange:
        """The change of a file, attached to the family; it may be of any layer there is.

        Raises BasError when the file names layers that the family lacks, or shapes that differ.
        """
        stored = load_tensors(file)
        names = [name.removesuffix(A) for name in stored if name.endswith(A)]
        none = torch.empty(0)
        return cls.of(
            {name: (stored[name + A], stored.get(name + B, none)) for name in names}, family
        )

    @classmethod
    def of(
        cls, factors: Mapping[str, tuple[torch.Tensor, torch.Tensor]], family: Family
    ) -> LowRankChange:
        """The same of factors `A` and `B` by their layers' names."""
        layers = every_layer(family)
        own = {plain_name(name): name for name in layers}
        adapter = cls({})
        for layer, (a, b) in factors.items():
            name = own.get(plain_name(layer), "")
            weight: Any = layers[name].weight if name else torch.empty(0)
            if (a.shape[1:], len(b)) != (weight.shape[1:], len(weight)):
                raise BasError(
                    f"the low-rank change does not fit this base model ({layer})",
                    "draw with the base model of the run",
                )
            adapter._layers[name] = layers[name]
            # Nothing trains them from here on, so they are what their layer computes in.
            pair = _parameters(a.to(weight.dtype), b.to(weight.dtype), weight.device)
            adapter._factors[name] = pair
        adapter.begin()
        return adapter

    def halve(self, family: Family, dtype: torch.dtype, names: Iterable[str] = ()) -> None:  # noqa: ARG002
        """Round the frozen weights; copies of the factors compute, the factors stay in fp32."""
        place(family, family.device, dtype)
        self._masters = in_half(self.parameters(), dtype)

    def begin(self) -> None:
        """Attach the hooks."""
        if self._handles:
            return
        used = self.parameters() if self._masters is None else self._masters.computing
        for name, layer in self._layers.items():
            a, b = used[f"lora/{name}/A"], used[f"lora/{name}/B"]
            term = LowRankTerm(a, b, lambda: self.strength)
            self._handles.append(layer.register_forward_hook(term))

    def detach(self) -> None:
        """Take the hooks off: the family is the base model again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def move(self, device: torch.device, dtype: torch.dtype) -> None:
        """Keep the factors on another device and in another precision from now on."""
        for factor in self.parameters().values():
            factor.data = factor.data.to(device, dtype)

    def parameters(self) -> dict[str, nn.Parameter]:
        """The factors, as `lora/<layer>/A` and `lora/<layer>/B`."""
        return {
            f"lora/{name}/{ending}": factor
            for name, factors in self._factors.items()
            for ending, factor in zip("AB", factors, strict=True)
        }

    @property
    def computing(self) -> Sequence[nn.Parameter]:
        """The factors, or their copies in half precision."""
        used = self.parameters() if self._masters is None else self._masters.computing
        return list(used.values())

    def collect(self) -> None:
        """Give the factors the gradients of their copies."""
        if self._masters is not None:
            self._masters.collect()

    def publish(self) -> None:
        """Round the factors into their copies."""
        if self._masters is not None:
            self._masters.publish()

    def modules(self) -> Sequence[nn.Module]:
        """What computes, for a distributed wrapper."""
        return (nn.ParameterList(self.computing),)

    def hold(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Nothing but its own factors: a full change is no part of a low-rank one."""
        own = self.parameters()
        for name in names:
            if name not in own:
                raise other_change(name)
        return {}

    def write(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write the factors in half precision; nothing before `begin`."""
        if not self._handles:
            return
        tensors: dict[str, torch.Tensor] = {}
        for name in self._factors:
            for side, ending in (("A", A), ("B", B)):
                tensors[name + ending] = weights[f"lora/{name}/{side}"].detach().half()
        save_tensors(folder / FILE, tensors)


def every_layer(family: Family) -> dict[str, nn.Module]:
    """Each linear and convolution layer of the family's networks, those never trained included."""
    return {
        f"{network}.{path}" if path else network: layer
        for network, module in family.targets.networks.items()
        for path, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }


def _parameters(
    a: torch.Tensor, b: torch.Tensor, device: torch.device
) -> tuple[nn.Parameter, nn.Parameter]:
    return nn.Parameter(a.to(device)), nn.Parameter(b.to(device))
