"""Other people's small files beside a run's own concepts: LoRA and embeddings, by their headers.

Nothing is loaded here: what a file is for, and which words of a prompt it brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.core.errors import UserError
from engine.models.headers import Header, is_pickle, read_header
from engine.runs.folder import RunDir
from engine.runs.manifest import ConceptEntry, read_manifest
from engine.runs.prompts import free_name, with_guests
from engine.runs.requests import Additions

BUNDLE = "bundle_emb."
"""Start of the embeddings inside a LoRA (A1111's bundles): `bundle_emb.NAME....`."""
WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
"""By the width of the text states that a UNet reads."""
TOLD = {
    "sdxl": "Stable Diffusion XL",
    "stable-diffusion-xl": "Stable Diffusion XL",
    "sd_v1": "Stable Diffusion 1.x",
    "stable-diffusion-v1": "Stable Diffusion 1.x",
    "sd_v2": "Stable Diffusion 2.x",
    "stable-diffusion-v2": "Stable Diffusion 2.x",
    "sd3": "Stable Diffusion 3",
    "stable-diffusion-3": "Stable Diffusion 3",
    "flux": "Flux",
}
"""By the start of what a file says of itself."""
TRANSFORMERS = (
    "lora_transformer_",
    "transformer.",
    "double_blocks",
    "single_blocks",
    "joint_block",
)


class EmbeddingShape(NamedTuple):
    """One word that a file brings."""

    vectors: int
    """How many positions of a prompt it takes."""
    widths: tuple[int, ...]
    """Of its vectors for each text encoder."""


def addition_header(path: Path) -> Header:
    """The header of a LoRA or embedding file; UserError for what cannot be one."""
    if not path.is_file():
        raise UserError(f"there is no file {path}", "check the path")
    if is_pickle(path):
        raise UserError(
            f"{path.name} is a pickle, which can run any program when it is opened",
            "take its .safetensors, which most pages offer beside it",
        )
    return read_header(path)


def embedding_name(path: Path) -> str:
    """The word of an embedding file: its name, as in other programs."""
    return "-".join(path.stem.split()).strip("<>")


def embedding_keys(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Names of an embedding's tensors in the order of the text encoders; () for no embedding.

    `clip_l` and `clip_g` of XL; one tensor by any name (`emb_params`, `emp_params`, a token) else.
    """
    if {"clip_l", "clip_g"} <= shapes.keys():
        return ("clip_l", "clip_g")
    flat = tuple(name for name, shape in shapes.items() if 1 <= len(shape) <= 2)
    return flat if len(flat) == 1 else ()


def embedding_shape(path: Path) -> EmbeddingShape:
    """What an embedding file brings; UserError for another kind of file."""
    shapes = addition_header(path).shapes
    found = _shape(shapes)
    if found is None:
        lora = any(".lora_" in name or ".alpha" in name for name in shapes)
        raise UserError(
            f"{path.name} is {'a LoRA' if lora else 'no embedding: it holds'}"
            + ("" if lora else f" {len(shapes)} tensors"),
            f"draw with it by --lora {path.name}" if lora else "name an embedding's .safetensors",
        )
    return found


def bundled_embeddings(header: Header) -> dict[str, EmbeddingShape]:
    """The embeddings inside a LoRA file, by name."""
    inside: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in header.shapes.items():
        if key.startswith(BUNDLE):
            name, _, part = key.removeprefix(BUNDLE).partition(".")
            inside.setdefault(name, {})[part] = shape
    found = {name: _shape(shapes) for name, shapes in inside.items()}
    return {name: shape for name, shape in found.items() if shape is not None}


class Vocabulary(NamedTuple):
    """What prompts may name."""

    concepts: tuple[ConceptEntry, ...]
    """A run's own things and those of other runs, tokens counting on."""
    words: tuple[str, ...]
    """Names of embeddings: those of embedding files in their order, then those within LoRAs."""

    @property
    def unread(self) -> dict[str, str]:
        """Their tokens, for `resolve_prompt` before any of them is loaded."""
        return {f"<{name}>": "" for name in self.words}


def vocabulary(concepts: Sequence[ConceptEntry], additions: Additions) -> Vocabulary:
    """What prompts of a run with these concepts may name, by the files' headers.

    Raises UserError for a file that cannot be read, and for an embedding whose name is taken.
    """
    others = [read_manifest(RunDir(Path(one.source))).concepts for one in additions.others]
    everyone = with_guests(concepts, others)
    taken = {name for concept in everyone for name in (concept.name, concept.token[1:-1])}
    words: list[str] = []
    for one in additions.embeddings:
        name = one.name or embedding_name(Path(one.source))
        if name in taken:
            raise UserError(
                f"there is a <{name}> already",
                f"name the embedding: --embedding OTHER={Path(one.source).name}",
            )
        taken.add(name)
        words.append(name)
    for one in additions.loras:
        for bundled in bundled_embeddings(addition_header(Path(one.source))):
            words.append(free_name(bundled, taken))
            taken.add(words[-1])
    return Vocabulary(everyone, tuple(words))


def made_for(header: Header) -> str:
    """The kind of base model that a LoRA was made for, as far as the header tells; else empty."""
    for key in ("ss_base_model_version", "modelspec.architecture"):
        told = header.metadata.get(key, "").lower()
        for start, title in TOLD.items():
            if told.startswith(start):
                return title
    for name, shape in header.shapes.items():
        reads_text = "attn2" in name and "to_k" in name and ("down" in name or "lora_A" in name)
        if reads_text and len(shape) >= 2 and shape[1] in WIDTHS:
            return WIDTHS[shape[1]]
    if any(part in name for name in header.shapes for part in TRANSFORMERS):
        return "a model with a transformer in place of the UNet"
    return ""


def _shape(shapes: Mapping[str, tuple[int, ...]]) -> EmbeddingShape | None:
    keys = embedding_keys(shapes)
    vectors = {shapes[key][0] if len(shapes[key]) == 2 else 1 for key in keys}
    if len(vectors) != 1:
        return None
    return EmbeddingShape(vectors.pop(), tuple(shapes[key][-1] for key in keys))
