"""The forms in which a LoRA file holds the change of one layer, and what each amounts to.

Plain LoRA (arXiv 2106.09685), the same with a core for convolutions, LoHa and LoKr (LyCORIS, arXiv
2309.14859), and whole differences.

Shape legend: R rank, O outputs, I inputs, k kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from engine.results.exports.low_rank import LowRank

Tensors = Mapping[str, torch.Tensor]


class Misfit(Exception):
    """A layer's tensors do not amount to a change of its weight."""


class LayerChange(NamedTuple):
    """The change of one module at strength 1."""

    low: LowRank | None = None
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None


def layer_change(parts: Tensors, weight: torch.Tensor, scale: float | None = None) -> LayerChange:
    """The change that a module's tensors (by `layer_names.PARTS`) amount to, float32.

    `scale`: where the file says it elsewhere; else alpha / rank, or 1 without an alpha. Raises
    Misfit where it is none of this weight.
    """
    try:
        return _change(parts, weight, scale)
    except (RuntimeError, KeyError, IndexError) as error:
        raise Misfit(str(error)) from error


def _change(parts: Tensors, weight: torch.Tensor, scale: float | None) -> LayerChange:
    held = {name: tensor.float() for name, tensor in parts.items()}
    alpha = float(held["alpha"]) if "alpha" in held else None
    bias = held.get("diff_b")
    whole = held.get("diff")
    if whole is not None:
        whole = whole.reshape(weight.shape)
    low: LowRank | None = None
    if ("down" in held or "up" in held) and "mid" not in held:
        rank = len(held["down"])
        factor = scale if scale is not None else 1.0 if alpha is None else alpha / rank
        # 1x1 convolutions are linear layers in some models, and the other way round.
        down = held["down"].reshape(rank, *weight.shape[1:])
        up = held["up"].reshape(len(weight), rank, *(1,) * (weight.ndim - 2)) * factor
        low = LowRank(down, up)
    elif "mid" in held:
        rank = len(held["down"])
        up_OR, down_RI = held["up"].flatten(1), held["down"].flatten(1)
        product = torch.einsum("rskl,or,si->oikl", held["mid"], up_OR, down_RI)
        whole = product.reshape(weight.shape) * (1.0 if alpha is None else alpha / rank)
    elif "hada_w1_a" in held:
        first, second = _hada(held, 1), _hada(held, 2)
        rank = held["hada_w1_b"].shape[0]
        product = (first * second).reshape(weight.shape)
        whole = product * (1.0 if alpha is None else alpha / rank)
    elif any(name.startswith("lokr_") for name in held):
        whole = _kronecker(held, weight, alpha)
    return LayerChange(low, whole, bias)


def _hada(held: Tensors, which: int) -> torch.Tensor:
    a, b = held[f"hada_w{which}_a"], held[f"hada_w{which}_b"]
    core = held.get(f"hada_t{which}")
    return a @ b if core is None else torch.einsum("rskl,ro,si->oikl", core, a, b)


def _kronecker(held: Tensors, weight: torch.Tensor, alpha: float | None) -> torch.Tensor:
    rank = None
    sides: list[torch.Tensor] = []
    for which in (1, 2):
        whole = held.get(f"lokr_w{which}")
        if whole is None:
            a, b = held[f"lokr_w{which}_a"], held[f"lokr_w{which}_b"]
            core, rank = held.get(f"lokr_t{which}"), b.shape[0]
            whole = a @ b if core is None else torch.einsum("rskl,ro,si->oikl", core, a, b)
        sides.append(whole)
    first, second = sides
    first = first.reshape(*first.shape, *(1,) * (second.ndim - first.ndim))
    # With both sides whole there is no rank, and alpha says nothing.
    scale = 1.0 if alpha is None or rank is None else alpha / rank
    return torch.kron(first, second.contiguous()).reshape(weight.shape) * scale
