"""The weights of a UNet and its text encoders that training may move, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

CROSS_ATTENTION = (".attn2.to_k.", ".attn2.to_v.")
ATTENTION = (".attn1.", ".attn2.", ".self_attn.")
NOT_ADAPTED = ("conv_in", "time_embedding", "add_embedding", "text_projection")
"""Their change is tiny, and some readers of low-rank files lack them."""


class UnetTargets:
    """Names are `unet.<path>`, `text_encoder.<path>`, `text_encoder_2.<path>`."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        """`networks`: the UNet as `unet`, text encoders under names that begin `text_encoder`."""
        self.networks = dict(networks)

    def weights(self) -> dict[str, nn.Parameter]:
        """Every weight but the input embeddings, whose rows are the tokens' own."""
        named: dict[str, nn.Parameter] = {}
        for network, module in self.networks.items():
            rows = {id(row) for embedding in _embeddings(module) for row in embedding.parameters()}
            for name, parameter in module.named_parameters():
                if id(parameter) not in rows:
                    named[f"{network}.{name}"] = parameter
        return named

    def part(self, name: str) -> dict[str, nn.Parameter]:
        """Named weights of a part: all, unet, cross-attention, none."""
        everything = self.weights()
        if name == "all":
            return everything
        unet = {key: p for key, p in everything.items() if key.startswith("unet.")}
        if name == "unet":
            return unet
        if name == "cross-attention":
            return {
                key: p for key, p in unet.items() if any(kind in key for kind in CROSS_ATTENTION)
            }
        assert name == "none", name
        return {}

    def layers(self, kind: str, *, text_encoder: bool) -> dict[str, nn.Module]:
        """Linear and 2-D convolution layers; `attention`: those of attention blocks alone."""
        found: dict[str, nn.Module] = {}
        for network, module in self.networks.items():
            if network != "unet" and not text_encoder:
                continue
            for path, layer in module.named_modules():
                if not isinstance(layer, nn.Linear | nn.Conv2d) or _named(path, NOT_ADAPTED):
                    continue
                name = f"{network}.{path}" if path else network
                if kind == "all" or any(part in f".{path}." for part in ATTENTION):
                    found[name] = layer
        return found


def plain_name(name: str) -> str:
    """A layer's or weight's name without `text_model.`.

    Some releases of transformers put it into a text encoder's names, others leave it out, and so do
    the files that other programs write.
    """
    return name.replace(".text_model.", ".", 1)


def _named(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(f"{root}.") for root in roots)


def _embeddings(module: nn.Module) -> list[nn.Module]:
    """The token embedding of a text encoder; a UNet has none."""
    ask = getattr(module, "get_input_embeddings", None)
    return [ask()] if ask is not None else []
