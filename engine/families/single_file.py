"""Loads whole models from one `.safetensors` file in the original (LDM or sgm) layout, offline.

The shapes come from the JSON files of `configs/`, the tokenizer from CLIP's merges beside them. A
folder `NAME/` with a `model_index.json` beside `NAME.safetensors` replaces both.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTokenizer

from engine.core.errors import UserError
from engine.families.components import (
    broken,
    load_scheduler_config,
    load_tokenizer,
    stored_dtype,
)
from engine.families.file_configs import CONFIGS
from engine.families.quiet import first_line
from engine.files.pending import NAMES
from engine.files.weights_io import load_tensors
from engine.models.detection import SingleFile, configs_beside
from engine.models.headers import DAMAGED, is_safetensors

START, END = "<|startoftext|>", "<|endoftext|>"
OPEN_CLIP_PAD = "!"
"""OpenCLIP's text encoders were trained with padding by id 0."""

UNET = "model.diffusion_model."
VAE = "first_stage_model."
OPEN_CLIP_LAYERS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OPEN_CLIP_EDGES = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
VAE_ATTENTION = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
"""Newer names of the autoencoder's attention layers -> those of the original layout."""

Tensors = dict[str, torch.Tensor]


class ModelFile:
    """An opened single file: its tensors and the configurations that say its shapes.

    A `dtype` of None is that of the file, whose tensors then stay in it.
    """

    def __init__(self, path: Path, told: SingleFile, bundled: str) -> None:
        """`bundled`: the folder of `configs/` for files without a configuration of their own."""
        self.path, self.told = path, told
        self.beside = configs_beside(path)
        self.configs = self.beside or CONFIGS / bundled
        self._tensors = load_tensors(path)

    def unet(self, dtype: torch.dtype | None) -> UNet2DConditionModel:
        """The UNet; raises UserError when the file does not fit the configuration."""
        return self._convert(
            UNet2DConditionModel, "unet", self._part("model.diffusion_model."), dtype
        )

    def vae(self, dtype: torch.dtype | None = torch.float32) -> AutoencoderKL:
        """The autoencoder."""
        tensors = {_original_vae_name(name): t for name, t in self._part(VAE).items()}
        return self._convert(AutoencoderKL, "vae", tensors, dtype)

    def clip(self, model: Any, component: str, prefix: str, dtype: torch.dtype | None) -> Any:
        """A text encoder with transformers' own names under `prefix`."""
        tensors = {
            name.removeprefix(prefix).removeprefix("text_model."): tensor
            for name, tensor in self._part(prefix).items()
        }
        return self._text(model, component, tensors, dtype)

    def open_clip(self, model: Any, component: str, prefix: str, dtype: torch.dtype | None) -> Any:
        """A text encoder with OpenCLIP's names under `prefix`."""
        tensors = {name.removeprefix(prefix): t for name, t in self._part(prefix).items()}
        return self._text(model, component, from_open_clip(tensors), dtype)

    def tokenizer(self, component: str, pad: str) -> CLIPTokenizer:
        """The tokenizer beside the file, else CLIP's with `pad` as its padding token."""
        if self.beside is not None and (self.beside / component).is_dir():
            return load_tokenizer(self.beside, component)
        return clip_tokenizer(pad)

    def scheduler_config(self, prediction: str = "") -> dict[str, Any]:
        """The noise schedule; `prediction` wins over what the file says of itself."""
        config = load_scheduler_config(self.configs)
        told = prediction or ("" if self.beside else self.told.prediction)
        if told:
            config["prediction_type"] = told
        if self.told.zero_snr and self.beside is None:
            config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return config

    def _part(self, prefix: str) -> Tensors:
        return {name: t for name, t in self._tensors.items() if name.startswith(prefix)}

    def _convert(
        self, model: Any, component: str, tensors: Tensors, dtype: torch.dtype | None
    ) -> Any:
        try:
            loaded = model.from_single_file(
                tensors,
                config=str(self.configs),
                subfolder=component,
                local_files_only=True,
                torch_dtype=dtype or _stored(tensors),
            )
        except NotImplementedError as error:
            raise self._incomplete() from error
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise self._misfit(error) from error
        # Tensors that the file lacks stay without storage; diffusers notices only some of them.
        if any(parameter.is_meta for parameter in loaded.parameters()):
            raise self._incomplete()
        return loaded

    def _text(self, model: Any, component: str, tensors: Tensors, dtype: torch.dtype | None) -> Any:
        dtype = dtype or _stored(tensors)
        config = CLIPTextConfig.from_pretrained(self.configs / component, local_files_only=True)
        encoder: nn.Module = model(config)
        wanted = encoder.state_dict()
        found: Tensors = {}
        for name, own in wanted.items():
            tensor = tensors.get(name.removeprefix("text_model."))
            if tensor is None:
                raise self._incomplete()
            if tensor.shape != own.shape:
                raise self._misfit(ValueError(f"{name} is {[*tensor.shape]}, not {[*own.shape]}"))
            found[name] = tensor.to(dtype)
        encoder.to(dtype).load_state_dict(found, assign=True)
        return encoder

    def _incomplete(self) -> UserError:
        return UserError(f"{self.path} lacks tensors of the model", DAMAGED)

    def _misfit(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path} does not load as {self.told.kind.title} ({first_line(error)})",
            f"put a folder {self.path.stem}/ with the model's JSON configuration beside it",
        )


def _stored(tensors: Tensors) -> torch.dtype:
    return stored_dtype(NAMES.get(tensor.dtype, "") for tensor in tensors.values())


def load_own_vae(path: Path) -> AutoencoderKL:
    """An autoencoder that a person names: a folder with config.json, or one file; fp32."""
    try:
        if path.is_dir():
            inside = path / "vae" if (path / "vae" / "config.json").is_file() else path
            return AutoencoderKL.from_pretrained(
                inside, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
            )
        if not is_safetensors(path):
            raise UserError(f"{path} is no VAE", "give a .safetensors file or a folder")
        return _vae_file(path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise broken(path, error) from error


def _vae_file(path: Path) -> AutoencoderKL:
    """An autoencoder that comes as a file of its own, in the original or diffusers' layout; fp32.

    Raises ValueError, RuntimeError or KeyError when it is none.
    """
    tensors = load_tensors(path)
    for prefix in (VAE, "vae."):
        inside = {name: t for name, t in tensors.items() if name.startswith(prefix)}
        if inside:
            tensors = {name.removeprefix(prefix): t for name, t in inside.items()}
    return AutoencoderKL.from_single_file(
        {_original_vae_name(name): tensor for name, tensor in tensors.items()},
        config=str(CONFIGS / "sd1"),
        subfolder="vae",
        local_files_only=True,
        torch_dtype=torch.float32,
    )


def from_open_clip(tensors: Tensors) -> Tensors:
    """A text encoder's weights under transformers' names, without `text_model.`.

    OpenCLIP keeps the three projections of self-attention in one matrix (3D, D), and the
    projection of the pooled embedding transposed.
    """
    found: Tensors = {}
    for name, tensor in tensors.items():
        if name in OPEN_CLIP_EDGES:
            found[OPEN_CLIP_EDGES[name]] = tensor
        elif name == "text_projection":
            found["text_projection.weight"] = tensor.T.contiguous()
        elif name == "text_projection.weight":
            found[name] = tensor
        block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name)
        if block is None:
            continue
        layer, rest = f"encoder.layers.{block[1]}", block[2]
        packed = re.fullmatch(r"attn\.in_proj_(weight|bias)", rest)
        if packed is not None:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                found[f"{layer}.self_attn.{letter}_proj.{packed[1]}"] = part.contiguous()
            continue
        path, _, leaf = rest.rpartition(".")
        if path in OPEN_CLIP_LAYERS:
            found[f"{layer}.{OPEN_CLIP_LAYERS[path]}.{leaf}"] = tensor
    return found


def clip_tokenizer(pad: str) -> CLIPTokenizer:
    """CLIP's tokenizer of 49408 entries, built from its merges; `pad` is its padding token."""
    # In order of code points the byte characters have the ids that CLIP gave them.
    alphabet = sorted(ByteLevel.alphabet())
    with lzma.open(CONFIGS / "clip_merges.txt.xz", "rt", encoding="utf-8") as lines:
        pairs = [tuple(line.split()) for line in lines]
    pieces = [*alphabet, *(byte + "</w>" for byte in alphabet), *map("".join, pairs), START, END]
    build: Any = CLIPTokenizer
    return build(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=pairs,
        pad_token=pad,
        model_max_length=77,
    )


def _original_vae_name(name: str) -> str:
    """The original layout's name of an attention layer that has a newer one."""
    found = re.fullmatch(r"(.*\.mid\.attn_1\.)(to_q|to_k|to_v|to_out\.0)(\.\w+)", name)
    return f"{found[1]}{VAE_ATTENTION[found[2]]}{found[3]}" if found else name
