"""What exports need of a loaded base model with its concepts: the one place that asks a family.

Shape legend: V rows of an embedding matrix, N placeholder tokens, D its width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from engine.core.config import TrainConfig
from engine.core.errors import BasError, UserError
from engine.drawing.sampler import draw
from engine.families.contract import Family
from engine.families.devices import choose_precision
from engine.families.placement import each_computing
from engine.families.tokens import PlaceholderEmbedding
from engine.files.pending import Pending
from engine.results.exports.lora_names import published_weight
from engine.results.exports.low_rank import LowRank

EMBEDDING = "embeddings.token_embedding."
NO_CHANGES: Mapping[str, Sequence[Pending]] = {}


class Encoder(NamedTuple):
    """A tokenizer and its text encoder."""

    tokenizer: Any
    text_encoder: Any


class Parts(NamedTuple):
    """The libraries' own models inside a family."""

    unet: Any
    vae: Any
    encoders: tuple[Encoder, ...]
    scheduler_config: dict[str, Any]
    settings: dict[str, Any]
    """Of the pipeline itself, as model_index.json keeps them."""
    changes: Mapping[str, Sequence[Pending]]
    """What is added to weights as they are written, by their published names."""
    once: bool
    """Whether asking for a model's tensors takes them out of it: nothing else holds their files
    open then, and those that were written are out of memory."""

    def unet_tensors(self) -> dict[str, Pending]:
        """The UNet's tensors by diffusers' names, changed, float32."""
        return self._changed("unet", self.unet)

    def vae_tensors(self) -> dict[str, Pending]:
        """The autoencoder's, by diffusers' names, float32."""
        return self._changed("vae", self.vae)

    def text_tensors(self, index: int, *, with_tokens: bool) -> dict[str, Pending]:
        """A text encoder's as if it had been trained as one matrix of words, changed, float32.

        The trained words stand in their places, the placeholder rows behind the vocabulary:
        (V + N, D) with them, (V, D) without.
        """
        text_encoder = self.encoders[index].text_encoder
        words = text_encoder.get_input_embeddings()
        assert isinstance(words, PlaceholderEmbedding), "no placeholder tokens were added"
        height = words.num_embeddings if with_tokens else len(words.vocabulary)
        matrix = Pending(
            (height, words.embedding_dim),
            torch.float32,
            partial(_matrix_of_words, words, with_tokens=with_tokens),
        )
        component = f"text_encoder_{index + 1}" if index else "text_encoder"
        tensors: dict[str, Pending] = {}
        for name, tensor in self._changed(component, text_encoder).items():
            before, found, _ = name.partition(EMBEDDING)
            if found:
                tensors[f"{before}{EMBEDDING}weight"] = matrix
            else:
                tensors[name] = tensor
        if self.once:
            text_encoder.set_input_embeddings(nn.Embedding(1, 1))
        return tensors

    def _changed(self, component: str, model: nn.Module) -> dict[str, Pending]:
        def sum_of(tensor: torch.Tensor, changes: Sequence[Pending]) -> Pending:
            def make() -> torch.Tensor:
                # Never in place: the tensor may lie in its file.
                return sum((change.make().float() for change in changes), tensor.float())

            return Pending(tuple(tensor.shape), torch.float32, make)

        tensors = {
            name: sum_of(tensor, self.changes.get(published_weight(f"{component}.{name}"), ()))
            for name, tensor in model.state_dict().items()
        }
        for name, parameter in model.named_parameters() if self.once else ():
            if EMBEDDING not in name:
                parameter.data = parameter.new_empty(0)
        return tensors


def parts_of(
    family: Family, changes: Mapping[str, Sequence[Pending]] = NO_CHANGES, *, once: bool = False
) -> Parts:
    """The models of a family; raises UserError for one that is built otherwise.

    `changes` (`learned.weight_changes`) are added as the weights are written, not to the family.
    Raises BasError where they do not fit.
    """
    text: Any = family.text
    codec: Any = family.codec
    noise: Any = family.noise
    tokenizers = getattr(text, "tokenizers", ())
    if not tokenizers or not hasattr(codec, "vae") or not hasattr(noise, "config"):
        raise UserError(
            f"{family.name} is of a family that has no diffusers pipeline",
            "use --to pack",
        )
    settings: dict[str, Any] = {}
    if len(tokenizers) > 1:
        settings["force_zeros_for_empty_prompt"] = text.zero_empty
    shapes = {published_weight(name): tuple(w.shape) for name, w in weights_of(family).items()}
    for name, summands in changes.items():
        if any(change.shape != shapes.get(name) for change in summands):
            raise BasError(
                f"the concepts do not fit this base model ({name})",
                "export with the base model of the run",
            )
    return Parts(
        unet=family.targets.networks["unet"],
        vae=codec.vae,
        encoders=tuple(map(Encoder, tokenizers, text.encoders)),
        scheduler_config=dict(noise.config),
        settings=settings,
        changes=changes,
        once=once,
    )


def weights_of(family: Family) -> dict[str, nn.Parameter]:
    """Every weight that training may change, by the names of `changes.safetensors`."""
    return family.targets.weights()


def add_changes(family: Family, changes: Mapping[str, torch.Tensor]) -> None:
    """Add changes to the weights of these names; raises KeyError or RuntimeError for a misfit."""
    weights = {published_weight(name): weight for name, weight in weights_of(family).items()}
    with torch.no_grad():
        for name, change in changes.items():
            weight = weights[published_weight(name)]
            weight.add_(change.to(weight))


def add_layers(family: Family, layers: Mapping[str, LowRank]) -> None:
    """Add a LoRA to the weights; raises KeyError or RuntimeError where it does not fit."""
    weights = {published_weight(name): weight for name, weight in weights_of(family).items()}
    with torch.no_grad():
        for layer, factors in layers.items():
            weight = weights[published_weight(f"{layer}.weight")]
            weight.add_(factors.product().to(weight))


def draw_pictures(
    family: Family, prompts: Sequence[str], seeds: Sequence[int], config: TrainConfig
) -> Iterator[np.ndarray]:
    """One picture per prompt and seed as `bas gen` draws it, uint8 (H, W, 3)."""
    drawn = draw(
        family,
        prompts,
        seeds=seeds,
        steps=config.sampling.steps,
        guidance=config.sampling.guidance,
        resolution=config.resolution or None,
    )
    precision = choose_precision(config.precision, family.device)
    yield from each_computing(drawn, family, precision)


def _matrix_of_words(words: PlaceholderEmbedding, *, with_tokens: bool) -> torch.Tensor:
    rows_VD = words.vocabulary.detach().to(torch.float32, copy=True)
    rows_VD[words.word_ids] = words.word_rows.detach().to(rows_VD)
    if not with_tokens:
        return rows_VD
    placeholders_ND = words.placeholder_rows.detach().to(rows_VD)
    # A model may keep room behind its last word, or have words in its tokenizer only.
    first = words.num_embeddings - len(placeholders_ND)
    gap_GD = rows_VD.new_zeros(max(0, first - len(rows_VD)), rows_VD.shape[1])
    return torch.cat([rows_VD[:first], gap_GD, placeholders_ND])
