"""The kinds of base model that families load: how each is recognised, as data.

A family of its own registers a `FamilyKind` under the entry point group `bas.families`
(`docs/adding-a-family.md`). Nothing here imports torch; a kind names its loader by words.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from engine.core.errors import UserError

GROUP = "bas.families"


@dataclass(frozen=True, kw_only=True)
class FamilyKind:
    """A kind of base model."""

    name: str
    title: str
    """As messages say it: `Stable Diffusion XL`."""
    weights: Mapping[str, str]
    """Components with weights, as a diffusers folder has them, and the stem of their files."""
    tokenizers: tuple[str, ...] = ("tokenizer",)
    pipelines: tuple[str, ...] = ()
    """Class names in model_index.json that are always of this kind; other names count where the
    components are the same."""
    file_parts: Mapping[str, str] = field(default_factory=dict[str, str])
    """For a single file: the beginnings of tensor names that it must have, and what they are."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted settings that a run of this kind starts from; a model's own recipe wins over them."""
    loader: str
    """`module:function` that loads a folder or file, see `engine.families.loading.Loader`."""

    @property
    def parts(self) -> frozenset[str]:
        """Every component of a folder."""
        return frozenset((*self.weights, *self.tokenizers, "scheduler"))

    def load_function(self) -> Callable[..., Any]:
        """The loader itself; its module may take seconds to import."""
        module, _, function = self.loader.partition(":")
        return getattr(importlib.import_module(module), function)


STABLE_DIFFUSION = FamilyKind(
    name="stable-diffusion",
    title="Stable Diffusion 1.x or 2.x",
    weights={
        "unet": "diffusion_pytorch_model",
        "vae": "diffusion_pytorch_model",
        "text_encoder": "model",
    },
    file_parts={
        "model.diffusion_model.": "UNet",
        "first_stage_model.": "VAE",
        "cond_stage_model.": "text encoder",
    },
    loader="engine.families.stable_diffusion:load",
)

STABLE_DIFFUSION_XL = FamilyKind(
    name="stable-diffusion-xl",
    title="Stable Diffusion XL",
    weights={
        "unet": "diffusion_pytorch_model",
        "vae": "diffusion_pytorch_model",
        "text_encoder": "model",
        "text_encoder_2": "model",
    },
    tokenizers=("tokenizer", "tokenizer_2"),
    file_parts={
        "model.diffusion_model.": "UNet",
        "first_stage_model.": "VAE",
        "conditioner.embedders.0.transformer.": "text encoder",
        "conditioner.embedders.1.model.": "second text encoder",
    },
    # Full tuning would need 54 GB; a prior picture costs eight times that of Stable Diffusion.
    settings={
        "phase2.train": "lora",
        "loss.prior_images": 24,
        "loss.prior_steps": 30,
        "sampling.guidance": 5.0,
        "gradient_checkpointing": True,
    },
    loader="engine.families.stable_diffusion_xl:load",
)

BUILT_IN = (STABLE_DIFFUSION, STABLE_DIFFUSION_XL)


@cache
def kinds() -> tuple[FamilyKind, ...]:
    """Every kind that is installed, the built-in ones first; raises UserError for a broken one."""
    found = {kind.name: kind for kind in BUILT_IN}
    for entry in entry_points(group=GROUP):
        try:
            kind = entry.load()
        except Exception as error:  # Whatever another package's module raises.
            raise UserError(
                f"the family {entry.name} does not load ({type(error).__name__}: {error})",
                f"mend or uninstall the package that brings {entry.value}",
            ) from error
        if isinstance(kind, FamilyKind):
            found.setdefault(kind.name, kind)
    return tuple(found.values())


def kind_of_folder(pipeline: str, components: Collection[str]) -> FamilyKind | None:
    """The kind of a diffusers folder, by its pipeline's class name, else by its components."""
    for kind in kinds():
        if pipeline in kind.pipelines:
            return kind
    for kind in kinds():
        if not kind.pipelines and kind.parts == frozenset(components):
            return kind
    return None


def kind_of_file(tensors: Collection[str]) -> tuple[FamilyKind | None, tuple[str, ...]]:
    """The kind of a single file by its tensors' names, and what it lacks of the nearest kind.

    No kind where a file has nothing but a UNet's tensors or less.
    """
    best: tuple[FamilyKind | None, tuple[str, ...]] = None, ()
    most = 1
    for kind in kinds():
        there = [
            prefix for prefix in kind.file_parts if any(name.startswith(prefix) for name in tensors)
        ]
        if len(there) > most:
            most = len(there)
            best = (
                kind,
                tuple(what for prefix, what in kind.file_parts.items() if prefix not in there),
            )
    return best
