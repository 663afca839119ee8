"""Recorded steps of the authors' released script, and the random-weight pipeline they ran on.

`parity/` holds seven of the twelve steps: all six of phase 1 and the first of phase 2, with the
scene, one prior picture, and what the script had computed afterwards. Weights and draws were random
numbers of a known generator (seeds 0 and 11), so their places in its stream stand for them.
`BAS_PARITY` may name a folder with all twelve, with every tensor as a file.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

SHIPPED = Path(__file__).parent / "parity"
WEIGHTS_SEED, DRAWS_SEED = 0, 11
LATENTS = (2, 4, 64, 64)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """`steps`: a record each; `tensors`: `stepNN.name`, draws and what came out; paths."""

    steps: list[dict[str, Any]]
    tensors: dict[str, torch.Tensor]
    pipeline: Path
    scene: Path
    priors: Path


def whole_recording(folder: Path) -> Recording:
    """All twelve steps, from `folder/parity` and `folder/scenes`."""
    parity = folder / "parity"
    return Recording(
        steps=json.loads((parity / "golden_creature.json").read_text()),
        tensors=load_file(parity / "golden_creature.safetensors"),
        pipeline=parity / "tiny_pipeline",
        scene=folder / "scenes" / "creature",
        priors=parity / "prior_images",
    )


def shipped_recording(folder: Path) -> Recording:
    """The seven steps in `parity/`; the pipeline is written into `folder`."""
    shipped = json.loads(lzma.decompress((SHIPPED / "recording.json.xz").read_bytes()))
    for name, text in shipped["files"].items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    _write_weights(folder, shipped["weights"])
    tensors = load_file(SHIPPED / "after.safetensors")
    for record in shipped["steps"]:
        tensors |= _draws(record)
    return Recording(
        steps=shipped["steps"], tensors=tensors, pipeline=folder, scene=SHIPPED, priors=SHIPPED
    )


def _draws(record: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What the script drew in a step, in its order: posterior noise, noise, timesteps.

    Its noise had the memory order of its latents, channels last, and was drawn number by number.
    """
    generator = torch.Generator().manual_seed(DRAWS_SEED)
    torch.rand(record["draws_at"], generator=generator)
    key = f"step{record['step']:02d}"
    return {
        f"{key}.vae_eps": torch.randn(LATENTS, generator=generator),
        f"{key}.noise": torch.empty(LATENTS, memory_format=torch.channels_last).normal_(
            generator=generator
        ),
        f"{key}.timesteps": torch.randint(0, 1000, (2,), generator=generator),
        f"{key}.input_ids": torch.tensor([record["input_ids"]]),
    }


def _write_weights(folder: Path, places: dict[str, dict[str, Any]]) -> None:
    """Fill each component's random weights from the stream; biases and norms are constants."""
    stream = torch.rand(3_300_000, generator=torch.Generator().manual_seed(WEIGHTS_SEED))
    text = CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))
    parts: dict[str, tuple[torch.nn.Module, str]] = {
        "unet": (_from_config(UNet2DConditionModel, folder / "unet"), "diffusion_pytorch_model"),
        "vae": (_from_config(AutoencoderKL, folder / "vae"), "diffusion_pytorch_model"),
        "text_encoder": (text, "model"),
    }
    for part, (module, stem) in parts.items():
        weights = {_recorded_name(part, key): value for key, value in module.state_dict().items()}
        fan_in = {key.rsplit(".", 1)[0]: value[0].numel() for key, value in weights.items()
                  if key.endswith(".weight") and value.ndim > 1}  # fmt: skip
        for key, place in places[part].items():
            shape = weights[key].shape
            if part == "text_encoder":
                start, deviation = place
                generator = torch.Generator().manual_seed(WEIGHTS_SEED)
                torch.rand(start, generator=generator)
                weights[key] = torch.empty(shape).normal_(0, deviation, generator=generator)
                continue
            # Linear and convolution layers: uniform within 1 / sqrt(fan in); some were scaled.
            start, scale = place if isinstance(place, list) else (place, 1)
            bound = fan_in[key.rsplit(".", 1)[0]] ** -0.5
            uniform = stream[start : start + prod(shape)].view(shape)
            weights[key] = (uniform * (2 * bound) - bound) * scale
        save_file({key: value.contiguous() for key, value in weights.items()},
                  folder / part / f"{stem}.safetensors", metadata={"format": "pt"})  # fmt: skip


def _from_config(kind: Any, folder: Path) -> torch.nn.Module:
    return kind.from_config(kind.load_config(folder))


def _recorded_name(part: str, key: str) -> str:
    """The recording's name of a tensor: that of the libraries of its time."""
    if part == "text_encoder":
        return key if key.startswith("text_model.") else f"text_model.{key}"
    if part == "vae" and ".attentions." in key:
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"),
                         ("to_out.0", "proj_attn")):  # fmt: skip
            key = key.replace(f".{new}.", f".{old}.")
    return key
