"""A whole model in one file, as Stable Diffusion's authors and every web interface have it.

The learned tokens are not in it, because readers refuse a longer vocabulary: their embeddings lie
beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from engine.core.errors import UserError
from engine.files.pending import Pending
from engine.results.exports.base_facts import BaseFacts
from engine.results.exports.clip_files import published_name
from engine.results.exports.layouts import (
    FILE_UNET,
    open_clip_tensors,
    unet_tensors,
    vae_tensors,
)
from engine.results.exports.loaded import Parts

Tensors = dict[str, Pending]
VAE = "first_stage_model."
TEXT_SD1 = "cond_stage_model.transformer."
TEXT_SD2 = "cond_stage_model.model."
TEXT_XL = ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.")


def checkpoint_tensors(parts: Parts, base: BaseFacts, dtype: torch.dtype) -> Tensors:
    """Every tensor of the single file; raises UserError for a model that has no such layout."""
    texts = [parts.text_tensors(index, with_tokens=False) for index in range(len(parts.encoders))]
    if base.kind == "sd1":
        text = _under(TEXT_SD1, {published_name(name): t for name, t in texts[0].items()})
    elif base.kind == "sd2":
        text = _under(TEXT_SD2, open_clip_tensors(texts[0]))
    elif base.kind == "sdxl":
        published = {published_name(name): t for name, t in texts[0].items()}
        text = _under(TEXT_XL[0], published) | _under(TEXT_XL[1], open_clip_tensors(texts[1]))
    else:
        raise UserError(
            f"{base.name} is no Stable Diffusion, which alone has single files",
            "use --to diffusers or --to pack",
        )
    levels = len(parts.vae.config["block_out_channels"])
    tensors = (
        _under(FILE_UNET, unet_tensors(parts.unet_tensors(), base.shape))
        | _under(VAE, vae_tensors(parts.vae_tensors(), levels))
        | text
    )
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def checkpoint_metadata(base: BaseFacts, architecture: str, title: str) -> dict[str, str]:
    """What `bas` and others read of a single file: its prediction type and native size."""
    told = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.title": title,
        "modelspec.license": base.licence,
        "modelspec.prediction_type": "v" if base.v_prediction else "epsilon",
        "modelspec.resolution": f"{base.resolution}x{base.resolution}",
    }
    return {key: value for key, value in told.items() if value}


def _under(prefix: str, tensors: Mapping[str, Pending]) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}
