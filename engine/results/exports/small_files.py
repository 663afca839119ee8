"""LoRA, embedding and bundle files: what is small enough to share, in the clients' own formats."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from engine.files.weights_io import save_tensors
from engine.results.exports.base_facts import BaseFacts, Kind
from engine.results.exports.low_rank import LowRank

Tensors = Mapping[str, torch.Tensor]
VERSIONS: dict[Kind, str] = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
"""A1111 tells XL by the start of `ss_base_model_version`, 2.x by `ss_v2`."""
ARCHITECTURES: dict[Kind, str] = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sdxl": "stable-diffusion-xl-v1-base",
}


def embedding_tensors(rows: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """One concept's embedding: its vectors (n, width) for each text encoder.

    1.x and 2.x: `emb_params` and nothing else, as A1111 asserts. XL: `clip_l` and `clip_g`.
    """
    if len(rows) == 1:
        return {"emb_params": rows[0]}
    first, second = rows
    return {"clip_l": first, "clip_g": second}


def bundled(lora: Tensors, embeddings: Mapping[str, Sequence[torch.Tensor]]) -> Tensors:
    """A LoRA with the embeddings inside, by name, as A1111 1.6 and newer reads them."""
    tensors = dict(lora)
    for name, rows in embeddings.items():
        for key, vectors in embedding_tensors(rows).items():
            inner = "string_to_param.*" if key == "emb_params" else key
            tensors[f"bundle_emb.{name}.{inner}"] = vectors
    return tensors


def lora_metadata(
    base: BaseFacts,
    layers: Mapping[str, LowRank],
    *,
    title: str,
    comment: str,
    trigger_phrase: str,
    created: float,
) -> dict[str, str]:
    """The header of a LoRA file, as kohya's scripts and the model specification have it.

    Nothing in it names a person or a place.
    """
    ranks = [factors.rank for factors in layers.values()]
    rank = str(max(ranks, default=0))
    version = VERSIONS.get(base.kind, "")
    architecture = ARCHITECTURES.get(base.kind, "")
    if base.kind == "sd2" and base.v_prediction:
        version, architecture = "sd_v2_v", "stable-diffusion-v2-768-v"
    told = {
        "ss_v2": str(base.kind == "sd2"),
        "ss_base_model_version": version,
        "ss_network_module": "networks.lora",
        "ss_network_dim": rank,
        "ss_network_alpha": rank,
        "ss_network_args": f'{{"conv_dim": "{rank}", "conv_alpha": "{rank}"}}',
        "ss_output_name": title,
        "ss_training_comment": comment,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora" if architecture else "",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models"
        if base.kind == "sdxl"
        else "diffusers",
        "modelspec.title": title,
        "modelspec.date": time.strftime("%Y-%m-%d", time.gmtime(created)),
        "modelspec.license": base.licence,
        "modelspec.prediction_type": "v" if base.v_prediction else "epsilon",
        "modelspec.resolution": f"{base.resolution}x{base.resolution}",
        "modelspec.trigger_phrase": trigger_phrase,
    }
    return {key: value for key, value in told.items() if value}


def write_lora(path: Path, tensors: Tensors, metadata: Mapping[str, str]) -> None:
    """Write a LoRA with its `sshs_model_hash`, the sha256 of all that follows the header."""
    save_tensors(path, tensors, metadata)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), 1)
        while block := file.read(1 << 22):
            digest.update(block)
    save_tensors(path, tensors, {**metadata, "sshs_model_hash": digest.hexdigest()})
